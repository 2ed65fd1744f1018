"""Models that share most of their layers with each other, as those of a late search do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.benchmarks.core.options import option
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

    A ``small`` model is a chain of dense layers of equal size, a ``shallow`` one has a fifth of the
    layers, five times as large, and ``dense-skip`` is a random architecture of the dense-skip
    space, of which each model has some of the last choices changed.
    """

    kind: FamilyKind = option("small", "how models are made", flag="--method", choices=KINDS)
    max_layer_size: int = option(
        3_200_000, "bytes of a layer, of the largest one in dense-skip", least=_FLOAT_BYTES
    )
    max_layers: int = option(20, "layers with weights", least=2)
    layers_scale_factor: float = option(1.0, "multiplies all widths", above=0)
    shared: float = option(
        0.9, "share of common layers; dense-skip shares as much as late changes leave", least=0
    )
    seed: int = option(0, "of what is random")

    def check(self) -> None:
        """Raises ``InvalidValueError`` if there are no such models."""
        if self.shared >= 1:
            raise InvalidValueError(f"shared={self.shared} must be below 1")

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
