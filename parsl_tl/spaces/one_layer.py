"""The smallest search space: one dense layer."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_tl.spaces.dense_choices import ACTIVATIONS
from parsl_tl.spaces.feed_forward import FeedForwardSpace


class OneLayerSpace(FeedForwardSpace):
    """No layer, or a dense layer of some width and activation: for a first look, and for tests."""

    name = "one-layer"

    def __init__(
        self,
        units: tuple[int, int, int] = (16, 96, 16),
        activations: Sequence[str] = ACTIVATIONS,
    ) -> None:
        """Defines the space.

        Args:
            units: smallest width, largest width (included), step.
            activations: from linear, relu, tanh, sigmoid, swish.

        Raises:
            SpaceError: a value that leaves nothing to choose.
        """
        super().__init__(1, units, activations)
