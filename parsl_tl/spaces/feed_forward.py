"""A sequence of variable dense layers, after DeepHyper's deepspace package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parsl_tl.architecture import GraphBuilder
from parsl_tl.spaces.dense_choices import (
    ACTIVATIONS,
    add_vector_inputs,
    apply_dense,
    check_num_layers,
    dense_labels,
    describe_layers,
)
from parsl_tl.spaces.head import Head, add_heads
from parsl_tl.spaces.old_assemble import takes_heads
from parsl_tl.spaces.space import Choice, SearchSpace

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph


class FeedForwardSpace(SearchSpace):
    """``num_layers`` times: no layer, or a dense layer of some width and activation."""

    name = "feed-forward"

    def __init__(
        self,
        num_layers: int = 10,
        units: tuple[int, int, int] = (16, 96, 16),
        activations: Sequence[str] = ACTIVATIONS,
    ) -> None:
        """Defines the space.

        Args:
            num_layers: variable layers in the sequence.
            units: smallest width, largest width (included), step.
            activations: from linear, relu, tanh, sigmoid, swish.

        Raises:
            SpaceError: a value that leaves nothing to choose.
        """
        self.num_layers = check_num_layers(num_layers, self.name)
        self._labels = dense_labels(units, activations, self.name)

    def choices(self) -> list[Choice]:
        """Returns one choice per layer."""
        return [Choice(f"layer_{i}", self._labels) for i in range(self.num_layers)]

    def invalidated(self, choice_index: int) -> int:
        """Returns the number of later layers: all of them lose their history."""
        return self.num_layers - 1 - choice_index

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Returns the dense layers that there are, such as ``32 relu, 64 tanh``."""
        return describe_layers(self.labels(arch_seq))

    @takes_heads
    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: Sequence[Head],
    ) -> ArchitectureGraph:
        """See ``SearchSpace.assemble``."""
        builder = GraphBuilder()
        tensor = add_vector_inputs(builder, inputs, self.name)
        for label in labels:
            tensor = apply_dense(builder, tensor, label)
        return builder.build(add_heads(builder, tensor, heads))
