"""A format of files that keep Keras models, and whose layers can be read one by one.

Layers are known by their Keras names, except in a Keras weights file that is read without its
model, which does not hold them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.room import files_under
from parsl_tl.errors import BenchmarkError

LayerArrays = dict[str, list[NDArray[np.generic]]]
Names = Collection[str] | None  # of layers; None for all


class FileFormat(ABC):
    """How a Keras model's weights become files, and files weights."""

    name: ClassVar[str]  # that users type
    rank: ClassVar[int]  # its place among the others
    suffix: ClassVar[str]  # of the file, or of the files' common beginning
    is_file: ClassVar[bool] = True  # one of the formats of files; else it only reads layers

    @abstractmethod
    def save(self, model: Any, path: Path) -> None:
        """Writes all weights, to a path with the suffix."""

    def load(self, model: Any, path: Path) -> Any:
        """Returns a model with the weights of the file: this one, or another if all is stored."""
        for name, arrays in self.read(path, None, self.keys(model)).items():
            model.get_layer(name).set_weights(arrays)
        return model

    def keys(self, model: Any) -> Mapping[str, str]:
        """Returns what a file calls the layers of a model, where that is not their Keras names."""
        return {}

    @abstractmethod
    def read(self, path: Path, layers: Names, keys: Mapping[str, str]) -> LayerArrays:
        """Reads the arrays of layers into memory of their own; see ``keys``."""


def layers_with_weights(model: Any) -> list[Any]:
    """Returns the model's layers that hold weights, in its order; a model inside is one layer."""
    return [layer for layer in model.layers if layer.weights]


def layer_arrays(model: Any) -> LayerArrays:
    """Copies the weights of every layer out of Keras, by name."""
    layers = layers_with_weights(model)
    return {layer.name: [np.array(one) for one in layer.get_weights()] for layer in layers}


def written_files(path: Path) -> list[Path]:
    """Returns the files of a path: itself, those it begins the names of, or those of a folder."""
    if path.is_file():
        return [path]
    return sorted(path.parent.glob(f"{path.name}.*")) or files_under(path)


def numbered(layers: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Returns arrays by names for formats without layers: ``<layer>/<number>``."""
    return {
        f"{name}/{number}": array
        for name, arrays in layers.items()
        for number, array in enumerate(arrays)
    }


def read_numbered(names: Collection[str], layers: Names, get: Any) -> LayerArrays:
    """Reads the arrays of layers from names of ``numbered``; ``get`` takes a name."""
    counts = Counter(name.rpartition("/")[0] for name in names)
    wanted = counts if layers is None else layers
    refuse_missing(layer for layer in wanted if layer not in counts)
    return {
        layer: [np.asarray(get(f"{layer}/{number}")) for number in range(counts[layer])]
        for layer in wanted
    }


def refuse_missing(names: Iterable[str]) -> None:
    """Raises ``BenchmarkError`` if a file lacks layers, whose names these are."""
    if missing := sorted(names):
        raise BenchmarkError(f"the file has no layer {', '.join(missing[:5])}")


def compare(expected: LayerArrays, found: LayerArrays) -> None:
    """Raises ``BenchmarkError`` if weights are not the same, byte for byte."""
    if expected.keys() != found.keys():
        differing = sorted(expected.keys() ^ found.keys())
        raise BenchmarkError(f"other layers came back: {', '.join(differing[:5])}")
    for name, arrays in expected.items():
        kinds = [(array.shape, array.dtype) for array in arrays]
        if kinds != [(array.shape, array.dtype) for array in found[name]]:
            raise BenchmarkError(f"layer {name} came back with other shapes or dtypes")
        for number, pair in enumerate(zip(arrays, found[name], strict=True)):
            if not same_arrays(*([array] for array in pair)):
                raise BenchmarkError(f"weight {number} of layer {name} came back with other bytes")


def same_arrays(found: Iterable[Any], expected: Iterable[Any]) -> bool:
    """Tells whether arrays have the same shapes, dtypes and bytes."""
    found, expected = list(found), list(expected)
    return len(found) == len(expected) and all(
        one.shape == other.shape
        and one.dtype == other.dtype
        and np.array_equal(_bytes_of(one), _bytes_of(other))
        for one, other in zip(found, expected, strict=True)
    )


def _bytes_of(array: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
