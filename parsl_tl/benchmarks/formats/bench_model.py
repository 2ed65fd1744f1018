"""Models that are made for benchmarks: dense layers of one width, and families with a prefix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.benchmarks.core.options import option
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.spaces.keras_layers import dense

Array = NDArray[np.float32]
LayerWeights = dict[str, list[Array]]
MB: Final = 1_000_000
WHOLE: Final = "whole"
TENTH: Final = "tenth"
PARTS: Final = (WHOLE, TENTH)
FamilyKind = Literal["small", "shallow", "dense-skip"]
KINDS: Final[tuple[FamilyKind, ...]] = get_args(FamilyKind)
_FLOAT_BYTES: Final = 4
# A shallow model has so many times fewer layers, of so many times the size.
_SHALLOW: Final = 5
# A variable layer of the dense-skip space has so many layers, on the average.
_LAYERS_PER_CHOICE: Final = 3.6


@dataclass(frozen=True, eq=False)
class BenchModel:
    """A model with random weights, the same for the same seed."""

    graph: ArchitectureGraph  # an input and dense layers in sequence
    # By stable layer name, in topological order: float32 [width, width] and [width].
    weights: LayerWeights
    tenth: tuple[str, ...]  # names of the last tenth of the layers with weights, at least one

    def of(self, layers: LayerWeights, part: str) -> LayerWeights:
        """Returns a part, ``whole`` or ``tenth``, of the weights of such a model."""
        return {name: layers[name] for name in (self.weights if part == WHOLE else self.tenth)}

    def layers(self, part: str) -> LayerWeights:
        """Returns the weights of a part by layer name."""
        return self.of(self.weights, part)

    def arrays(self, part: str) -> list[Array]:
        """Returns the arrays of a part in one list."""
        return flat(self.layers(part))

    def num_bytes(self, part: str = WHOLE) -> int:
        """Returns the bytes of a part's arrays."""
        return sum(array.nbytes for array in self.arrays(part))

    def destination(self) -> LayerWeights:
        """Returns arrays of the model's shapes whose pages the process has touched."""
        return {
            name: [np.full(array.shape, -1.0, np.float32) for array in arrays]
            for name, arrays in self.weights.items()
        }


def flat(layers: Any) -> list[Array]:
    """Returns the arrays of all layers in one list."""
    return [array for arrays in layers.values() for array in arrays]


def width_of(model_mb: float, layers: int) -> int:
    """Returns the width at which dense layers come closest to a size in millions of bytes."""
    numbers = model_mb * MB / 4 / layers  # width x width + width
    return max(1, round((math.sqrt(1 + 4 * numbers) - 1) / 2))


def make_model(model_mb: float, layers: int, seed: int) -> BenchModel:
    """Makes a model of so many millions of bytes and dense layers, with weights of a seed."""
    width = width_of(model_mb, layers)
    builder = GraphBuilder()
    tensor = builder.input((width,))
    for _ in range(layers):
        tensor = dense(builder, tensor, width, "linear")
    graph = builder.build(tensor)
    rng = np.random.default_rng(seed)
    names = [
        name for name, one in zip(graph.layer_names, graph.layers, strict=True) if not one.is_input
    ]
    weights = {
        name: [rng.random((width, width), np.float32), rng.random(width, np.float32)]
        for name in names
    }
    return BenchModel(graph, weights, tuple(names[-max(1, round(layers / 10)) :]))


@dataclass(frozen=True)
class ModelFamily:
    """Models with a common prefix, as those of a late search have; each has a tail of its own.

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
        fewer = _SHALLOW if self.kind == "shallow" else 1
        count, width = max(2, self.max_layers // fewer), self._width(self.max_layer_size * fewer)
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
