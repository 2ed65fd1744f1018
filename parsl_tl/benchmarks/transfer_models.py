"""Models that share most of their layers with each other, as those of a late search do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.spaces.keras_layers import dense

FamilyKind = Literal["small", "shallow", "dense-skip"]
KINDS: Final[tuple[FamilyKind, ...]] = get_args(FamilyKind)
_FLOAT_BYTES: Final = 4
# A shallow model has so many times fewer layers, of so many times the size.
_SHALLOW: Final = 5
# A variable layer of the dense-skip space has so many layers, on the average.
_LAYERS_PER_CHOICE: Final = 3.6


@dataclass(frozen=True)
class ModelFamily:
    """Models with a common prefix; each has a tail of its own.

    Attributes:
        kind: ``small``: a chain of dense layers of equal size; ``shallow``: a fifth of the layers,
            five times as large; ``dense-skip``: a random architecture of the dense-skip space, of
            which each model has some of the last choices changed.
        max_layer_size: bytes of a layer's weights; of the largest one in ``dense-skip``.
        max_layers: layers with weights.
        layers_scale_factor: what all widths are multiplied with.
        shared: the share of layers that all have in common; ``dense-skip`` shares as much as late
            changes leave.
        seed: of what is random.
    """

    kind: FamilyKind = "small"
    max_layer_size: int = 3_200_000
    max_layers: int = 20
    layers_scale_factor: float = 1.0
    shared: float = 0.9
    seed: int = 0

    def check(self) -> ModelFamily:
        """Returns it, if there are such models.

        Raises:
            InvalidValueError: a value that leaves nothing.
        """
        if self.kind not in KINDS:
            raise InvalidValueError(f"method={self.kind!r}; choose from {', '.join(KINDS)}")
        if self.max_layers < 2 or self.max_layer_size < _FLOAT_BYTES:
            raise InvalidValueError(
                f"max_layers={self.max_layers}, max_layer_size={self.max_layer_size}: a model "
                "needs at least two layers, of at least 4 bytes"
            )
        if not (0 <= self.shared < 1 and self.layers_scale_factor > 0):
            raise InvalidValueError(
                f"shared={self.shared} must lie from 0 to below 1, and "
                f"layers_scale_factor={self.layers_scale_factor} above 0"
            )
        return self

    def graph(self, number: int) -> ArchitectureGraph:
        """Returns the model with this number; models of one family share a prefix."""
        if self.kind == "dense-skip":
            return self._dense_skip(number)
        count, size = self.max_layers, float(self.max_layer_size)
        if self.kind == "shallow":
            count, size = max(2, count // _SHALLOW), size * _SHALLOW
        width = self._width(size)
        num_shared = min(round(self.shared * count), count - 1)
        builder = GraphBuilder()
        tensor = builder.input((width,))
        for layer in range(count):
            # Who is in the tail is of equal size, but another layer in every model.
            bias = 0.0 if layer < num_shared else 1.0 + number
            tensor = dense(builder, tensor, width, "relu", bias)
        return builder.build(tensor)

    def _width(self, size: float) -> int:
        return max(1, round(self.layers_scale_factor * math.sqrt(size / _FLOAT_BYTES)))

    def _dense_skip(self, number: int) -> ArchitectureGraph:
        width = self._width(self.max_layer_size)
        step = max(1, width // 6)
        layers = max(1, round(self.max_layers / _LAYERS_PER_CHOICE))
        space = DenseSkipSpace(layers, (step, max(step, width), step))
        sizes = np.array([len(choice.values) for choice in space.choices()])
        sequence = np.random.default_rng([self.seed, 7]).integers(sizes)
        # Numbers count through the choices as through digits, the last choice first.
        rest = number
        for place in range(len(sizes) - 1, -1, -1):
            sequence[place] = (sequence[place] + rest) % sizes[place]
            rest //= int(sizes[place])
        return space.build(sequence.tolist(), (width,), (1,))
