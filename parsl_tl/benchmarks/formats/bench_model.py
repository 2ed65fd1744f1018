"""Models of arrays that bandwidth is measured with: dense layers of one width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.spaces.keras_layers import dense

Array = NDArray[np.float32]
LayerWeights = dict[str, list[Array]]
MB: Final = 1_000_000
WHOLE: Final = "whole"
TENTH: Final = "tenth"
PARTS: Final = (WHOLE, TENTH)


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
