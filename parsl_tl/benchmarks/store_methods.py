"""Ways to keep a model's weights, beside which the store is measured.

Each gives a list of ``Operation``: what is timed, and what is done around it. A write goes to a
name of its own, which is deleted after the clock has stopped. Reads are of files that this process
wrote before, so they come from the page cache, for all methods alike; no method syncs.
"""

from __future__ import annotations

import importlib
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.benchmarks.store_models import (
    PARTS,
    TENTH,
    WHOLE,
    Array,
    BenchModel,
    LayerWeights,
    flat,
)

WRITE, READ = "write", "read"
_IOV_MAX = os.sysconf("SC_IOV_MAX")


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Operation:
    """One measurement of one method.

    Attributes:
        method: whose.
        operation: ``write`` or ``read``.
        part: ``whole`` or ``tenth``, which layers.
        how: what distinguishes it from the method's others.
        run: what is timed.
        arrays: gives the arrays that were read, or now stand where they were written, from what
            ``run`` returned; called after the first run to compare bytes.
        before: what happens before the clock starts.
        after: what happens after it stopped.
    """

    method: str
    operation: str
    part: str
    how: str
    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]]
    before: Callable[[], None] = _nothing
    after: Callable[[], None] = _nothing


class Method(ABC):
    """A way to keep weights, for one model in one process; close it when done."""

    @abstractmethod
    def operations(self) -> list[Operation]:
        """Returns what there is to measure; what reads need is written here."""

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Gives back memory, connections and files that are open."""


class Memcpy(Method):
    """Copies from memory to memory: the baseline for reads."""

    def __init__(self, model: BenchModel, out: LayerWeights) -> None:
        """Takes the arrays to copy from, and those to copy into."""
        self._model = model
        self._out = out

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        return [self._read(part) for part in PARTS]

    def _read(self, part: str) -> Operation:
        sources, targets = self._model.arrays(part), _part(self._out, self._model, part)

        def run() -> None:
            copy_all(sources, targets)

        return Operation("memcpy", READ, part, "copyto", run, lambda _: targets)


class FileMethod(Method):
    """A method that keeps each model, or part of one, in a file of its own."""

    name: str
    suffix = ""

    def __init__(self, model: BenchModel, out: LayerWeights, folder: Path) -> None:
        """Nothing is written yet.

        Args:
            model: what is written.
            out: arrays to read into, for methods that can.
            folder: where the files go; this method's alone.
        """
        self.model = model
        self.out = out
        self.layers = {part: model.layers(part) for part in PARTS}
        self._folder = folder
        self._numbers = itertools.count()
        self._file = self._new()

    def _new(self) -> Path:
        return self._folder / f"{self.name}-{next(self._numbers)}{self.suffix}"

    @abstractmethod
    def write(self, path: Path, part: str) -> None:
        """Writes a part to a new file."""

    @abstractmethod
    def read(self, path: Path, part: str) -> Any:
        """Reads a part of a file that holds the whole model."""

    @abstractmethod
    def read_part(self, path: Path, part: str) -> list[Array]:
        """Returns what stands in a file that holds this part only."""

    def found(self, result: Any, part: str) -> list[Array]:
        """Returns the arrays that ``read`` delivered, from what it returned."""
        arrays: list[Array] = result
        return arrays

    def how(self, operation: str, part: str) -> str:
        """Returns how it is done, in a word or two."""
        return ""

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self.write(self._file, WHOLE)
        return [
            operation for part in PARTS for operation in (self._write_op(part), self._read_op(part))
        ]

    def _write_op(self, part: str) -> Operation:
        path = self._file

        def before() -> None:
            nonlocal path
            path = self._new()

        return Operation(
            self.name,
            WRITE,
            part,
            self.how(WRITE, part),
            lambda: self.write(path, part),
            lambda _: self.read_part(path, part),
            before,
            lambda: path.unlink(),
        )

    def _read_op(self, part: str) -> Operation:
        return Operation(
            self.name,
            READ,
            part,
            self.how(READ, part),
            lambda: self.read(self._file, part),
            lambda result: self.found(result, part),
        )


class PlainFile(FileMethod):
    """The arrays' bytes one after the other in a file: the baseline for writes."""

    name = "plain"

    def __init__(self, model: BenchModel, out: LayerWeights, folder: Path) -> None:
        """See ``FileMethod``."""
        self._sources = {part: as_bytes(model.arrays(part)) for part in PARTS}
        self._targets = {part: _part(out, model, part) for part in PARTS}
        self._buffers = {part: as_bytes(self._targets[part]) for part in PARTS}
        # The tenth are the last layers, so their bytes end the file.
        self._starts = {part: model.num_bytes() - model.num_bytes(part) for part in PARTS}
        super().__init__(model, out, folder)

    def write(self, path: Path, part: str) -> None:
        """See ``FileMethod``."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _transfer(os.writev, descriptor, self._sources[part])
        finally:
            os.close(descriptor)

    def read(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        _read_from(path, self._starts[part], self._buffers[part])
        return self._targets[part]

    def read_part(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        arrays = [np.empty_like(array) for array in self.model.arrays(part)]
        _read_from(path, 0, as_bytes(arrays))
        return arrays

    def how(self, operation: str, part: str) -> str:
        """See ``FileMethod``."""
        return "writev" if operation == WRITE else "readv into"


class Safetensors(FileMethod):
    """A safetensors file."""

    name = "safetensors"
    suffix = ".safetensors"

    def __init__(self, model: BenchModel, out: LayerWeights, folder: Path) -> None:
        """See ``FileMethod``."""
        self._module = importlib.import_module("safetensors")
        self._numpy = importlib.import_module("safetensors.numpy")
        self._tensors = {
            part: {
                f"{name}/{index}": array
                for name, arrays in model.layers(part).items()
                for index, array in enumerate(arrays)
            }
            for part in PARTS
        }
        super().__init__(model, out, folder)

    def write(self, path: Path, part: str) -> None:
        """See ``FileMethod``."""
        self._numpy.save_file(self._tensors[part], path)

    def read(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        with self._module.safe_open(path, framework="np") as file:
            return [file.get_tensor(name) for name in self._tensors[part]]

    def read_part(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        return self.read(path, part)

    def how(self, operation: str, part: str) -> str:
        """See ``FileMethod``."""
        return "save_file" if operation == WRITE else "get_tensor"


class KerasHdf5(FileMethod):
    """Keras' own ``.weights.h5``; a part of it is read, or written, with h5py."""

    name = "hdf5"
    suffix = ".weights.h5"

    def __init__(
        self, model: BenchModel, out: LayerWeights, folder: Path, keras_model: Any
    ) -> None:
        """See ``FileMethod``.

        Args:
            model: see there.
            out: see there.
            folder: see there.
            keras_model: the graph of ``model`` as a Keras model, with the same weights.
        """
        self._h5py = importlib.import_module("h5py")
        self._keras_model = keras_model
        # Keras names the groups by class and place, whatever the layers are called.
        self._groups = {
            name: "layers/dense" + (f"_{place}" if place else "")
            for place, name in enumerate(model.weights)
        }
        super().__init__(model, out, folder)

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        found = super().operations()
        # Whether load_weights works shows only in a model that has other weights.
        weights = self._keras_model.get_weights()
        self._keras_model.set_weights([np.zeros_like(array) for array in weights])
        self._keras_model.load_weights(self._file)
        return found

    def write(self, path: Path, part: str) -> None:
        """See ``FileMethod``."""
        if part == WHOLE:
            self._keras_model.save_weights(path)
            return
        with self._h5py.File(path, "w") as file:
            for name, arrays in self.layers[part].items():
                for index, array in enumerate(arrays):
                    file[f"{self._groups[name]}/vars/{index}"] = array

    def read(self, path: Path, part: str) -> Any:
        """See ``FileMethod``."""
        if part == WHOLE:
            return self._keras_model.load_weights(path)
        return self.read_part(path, part)

    def read_part(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        with self._h5py.File(path, "r") as file:
            return [
                file[f"{self._groups[name]}/vars/{index}"][()]
                for name, arrays in self.layers[part].items()
                for index in range(len(arrays))
            ]

    def found(self, result: Any, part: str) -> list[Array]:
        """See ``FileMethod``."""
        if part == WHOLE:
            return list(self._keras_model.get_weights())
        arrays: list[Array] = result
        return arrays

    def how(self, operation: str, part: str) -> str:
        """See ``FileMethod``."""
        if part == TENTH:
            return "h5py"
        return "save_weights" if operation == WRITE else "load_weights"


def copy_all(sources: Iterable[Array], targets: Iterable[Array]) -> None:
    """Copies arrays into others of the same shapes."""
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


def _part(layers: LayerWeights, model: BenchModel, part: str) -> list[Array]:
    return flat({name: layers[name] for name in model.names(part)})


def as_bytes(arrays: Iterable[Array]) -> list[memoryview]:
    """Returns the memory of contiguous arrays, without a copy."""
    return [array.reshape(-1).view(np.uint8).data for array in arrays]


def _read_from(path: Path, start: int, buffers: list[memoryview]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.lseek(descriptor, start, os.SEEK_SET)
        _transfer(os.readv, descriptor, buffers)
    finally:
        os.close(descriptor)


def _transfer(
    call: Callable[[int, Sequence[Any]], int], descriptor: int, buffers: list[memoryview]
) -> None:
    """Calls ``writev`` or ``readv`` until all bytes have gone."""
    # One call carries at most 2 GiB, and may carry less than it is given.
    left = list(buffers)
    while left:
        done = call(descriptor, left[:_IOV_MAX])
        if done == 0:
            raise EOFError("the file ends before the last array")
        gone = 0
        while gone < len(left) and done >= len(left[gone]):
            done -= len(left[gone])
            gone += 1
        del left[:gone]
        if done:
            left[0] = left[0][done:]
