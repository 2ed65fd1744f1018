"""What a format of files does with a Keras model, and what all of them need.

Layers are known by their Keras names, except in a Keras weights file that is read without its
model, which does not hold them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.file_cache import files_under
from parsl_tl.errors import BenchmarkError

Array = NDArray[np.generic]
LayerArrays = dict[str, list[Array]]


class FileFormat(ABC):
    """How weights become files, and files weights."""

    suffix: ClassVar[str]
    """Of the file, or of the files' common beginning."""

    @abstractmethod
    def save(self, model: Any, path: Path) -> None:
        """Writes all weights, to a path with the suffix."""

    @abstractmethod
    def load(self, model: Any, path: Path) -> Any:
        """Returns a model with the weights of the file: this one, or another if all is stored."""

    @abstractmethod
    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """Reads the arrays of some layers into memory of their own.

        Args:
            path: what was written.
            layers: their names; None for all.
            keys: the names of layers in a Keras weights file, by Keras names; where a name is
                missing, it is its own key.
        """


def layers_with_weights(model: Any) -> list[Any]:
    """Returns the model's layers that hold weights, in its order; a model inside is one layer."""
    return [layer for layer in model.layers if layer.weights]


def layer_arrays(model: Any) -> LayerArrays:
    """Copies the weights of every layer out of Keras, by name."""
    return {
        layer.name: [np.array(weight) for weight in layer.get_weights()]
        for layer in layers_with_weights(model)
    }


def written_files(path: Path) -> list[Path]:
    """Returns the files that a format made of a path: one, or several with a common beginning."""
    if path.is_file():
        return [path]
    return sorted(path.parent.glob(f"{path.name}.*")) or files_under(path)


def read_numbered(names: Collection[str], layers: Collection[str] | None, get: Any) -> LayerArrays:
    """Reads arrays that are called ``<layer>/<number>``.

    Args:
        names: all that there are.
        layers: which are wanted; None for all.
        get: gives the array of a name.
    """
    wanted = None if layers is None else set(layers)
    numbers: dict[str, list[int]] = {} if layers is None else {name: [] for name in layers}
    for name in names:
        layer, _, number = name.rpartition("/")
        if wanted is None or layer in wanted:
            numbers.setdefault(layer, []).append(int(number))
    refuse_missing(layer for layer, found in numbers.items() if not found)
    return {
        layer: [np.asarray(get(f"{layer}/{number}")) for number in sorted(found)]
        for layer, found in numbers.items()
    }


def refuse_missing(names: Iterable[str]) -> None:
    """Raises ``BenchmarkError`` if a file lacks layers, whose names these are."""
    missing = sorted(names)
    if missing:
        raise BenchmarkError(f"the file has no layer {', '.join(missing[:5])}")


def compare(expected: LayerArrays, found: LayerArrays) -> None:
    """Compares weights byte for byte.

    Raises:
        BenchmarkError: a layer is missing or too many, or an array differs.
    """
    if expected.keys() != found.keys():
        differing = sorted(expected.keys() ^ found.keys())
        raise BenchmarkError(f"other layers came back: {', '.join(differing[:5])}")
    for name, arrays in expected.items():
        kinds = [(array.shape, array.dtype) for array in arrays]
        if kinds != [(array.shape, array.dtype) for array in found[name]]:
            raise BenchmarkError(f"layer {name} came back with other shapes or dtypes")
        for number, (one, other) in enumerate(zip(arrays, found[name], strict=True)):
            if not same_bytes(one, other):
                raise BenchmarkError(f"weight {number} of layer {name} came back with other bytes")


def same_bytes(one: Any, other: Any) -> bool:
    """Tells whether two contiguous arrays of one shape and dtype have the same bytes."""
    left, right = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (one, other))
    return bool(np.array_equal(left, right))


def same_arrays(found: Iterable[Any], expected: Iterable[Any]) -> bool:
    """Tells whether arrays have the same shapes, dtypes and bytes."""
    found, expected = list(found), list(expected)
    return len(found) == len(expected) and all(
        one.shape == other.shape and one.dtype == other.dtype and same_bytes(one, other)
        for one, other in zip(found, expected, strict=True)
    )
