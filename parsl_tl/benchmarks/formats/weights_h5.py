"""Keras's weights files (HDF5), alone or inside a .keras archive, and reading parts of them."""

from __future__ import annotations

import functools
import importlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.benchmarks.formats import bench_model
from parsl_tl.benchmarks.formats.bench_model import PARTS, TENTH, WHOLE
from parsl_tl.benchmarks.formats.file_format import FileFormat, LayerArrays, Names, refuse_missing
from parsl_tl.benchmarks.formats.method import FRESH, INTO, FileMethod, OnFile, Operation, Reader
from parsl_tl.errors import BenchmarkError

_WEIGHTS: Final = "model.weights.h5"


class _Weights(FileFormat):
    """Keras's ``model.save_weights``: HDF5."""

    name, rank, suffix = "weights.h5", 0, ".weights.h5"

    def save(self, model: Any, path: Path) -> None:
        model.save_weights(path)

    def load(self, model: Any, path: Path) -> Any:
        model.load_weights(path)
        return model

    def keys(self, model: Any) -> Mapping[str, str]:
        return keras_file_keys(model)

    def read(self, path: Path, layers: Names, keys: Mapping[str, str]) -> LayerArrays:
        import h5py

        with h5py.File(path, "r") as file:
            return _read_hdf5(file, layers, keys)


class _KerasFile(_Weights):
    """Keras's ``model.save``: architecture and weights in a zip archive."""

    name, rank, suffix = "keras", 1, ".keras"

    def save(self, model: Any, path: Path) -> None:
        model.save(path)

    def load(self, model: Any, path: Path) -> Any:
        import keras

        return keras.models.load_model(path, compile=False)

    def read(self, path: Path, layers: Names, keys: Mapping[str, str]) -> LayerArrays:
        import h5py

        # The archive is not compressed, so that HDF5 can read inside it, and only what it needs.
        with _StoredMember(path, _WEIGHTS) as member, h5py.File(member, "r") as file:
            return _read_hdf5(file, layers, keys)


class _Hdf5Files(FileMethod):
    """Files with the groups of Keras' ``.weights.h5``, written and read with h5py."""

    name, rank, suffix = "hdf5", 3, ".weights.h5"
    suites: ClassVar[tuple[str, ...]] = ("remote",)
    packages: ClassVar[tuple[str, ...]] = ("h5py",)
    how_written: Mapping[str, str] = dict.fromkeys(PARTS, "h5py")

    def writer(self, part: str) -> OnFile:
        h5py, places = importlib.import_module("h5py"), self._places(self.model.weights, part)

        def write(path: Path) -> None:
            with h5py.File(path, "w") as file:
                for place, array in places:
                    file[place] = array

        return write

    def readers(self, part: str) -> Mapping[str, Reader]:
        h5py, places = importlib.import_module("h5py"), self._places(self.out, part)
        targets = bench_model.flat(self.model.of(self.out, part))

        def fresh(number: int) -> list[Any]:
            with h5py.File(self.path(number), "r") as file:
                return [file[place][()] for place, _ in places]

        def into(number: int) -> list[Any]:
            with h5py.File(self.path(number), "r") as file:
                for place, target in places:
                    file[place].read_direct(target)
            return targets

        return {FRESH: fresh, INTO: into}

    def _places(self, layers: bench_model.LayerWeights, part: str) -> list[tuple[str, Any]]:
        # In a Keras weights file dense layers are counted, whatever they are called.
        keys = {name: f"dense_{n}" if n else "dense" for n, name in enumerate(self.model.weights)}
        return [
            (f"layers/{keys[name]}/vars/{index}", array)
            for name, arrays in self.model.of(layers, part).items()
            for index, array in enumerate(arrays)
        ]


class _KerasWeightsFiles(_Hdf5Files):
    """The same, where Keras writes and reads whole models; beside servers, which have none, not."""

    suites, packages = ("store",), ("h5py", "tensorflow")
    how_written = MappingProxyType({WHOLE: "save_weights", TENTH: "h5py"})

    def operations(self) -> list[Operation]:
        found = super().operations()
        # Whether load_weights works shows only in a model that has other weights.
        keras_model = _keras_model(self.model)
        keras_model.set_weights([np.zeros_like(array) for array in keras_model.get_weights()])
        keras_model.load_weights(self.path(0))
        return found

    def writer(self, part: str) -> OnFile:
        save: OnFile = _keras_model(self.model).save_weights
        return save if part == WHOLE else super().writer(part)

    def reads(self, part: str) -> list[Operation]:
        if part != WHOLE:
            return [self.read(part, "h5py", partial(self.readers(part)[FRESH], 0))]
        keras_model = _keras_model(self.model)
        load = partial(keras_model.load_weights, self.path(0))
        return [self.read(part, "load_weights", load, arrays=lambda _: keras_model.get_weights())]


@functools.lru_cache(maxsize=1)
def _keras_model(model: bench_model.BenchModel) -> Any:
    """Builds the Keras model, with weights in the memory of the host, once for all cases."""
    from parsl_tl.training.runtime import configure_threads

    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # only to spare us a line about it
    configure_threads()
    keras_model = model.graph.to_keras()
    for name, arrays in model.weights.items():
        keras_model.get_layer(name).set_weights(arrays)
    return keras_model


def keras_file_keys(model: Any) -> dict[str, str]:
    """Returns under which name each layer stands in a Keras weights file.

    Keras counts layers of each class there, because given names may differ from model to model.
    """
    counts: dict[str, int] = {}
    found = {}
    for layer in model.layers:
        name = re.sub(r"\W+", "", type(layer).__name__)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name))
        name = name.lower()
        number = counts.get(name, 0)
        counts[name] = number + 1
        found[layer.name] = f"{name}_{number}" if number else name
    return found


def _read_hdf5(file: Any, layers: Names, keys: Mapping[str, str]) -> LayerArrays:
    root = file.get("layers", {})
    if layers is None:
        names = {key: name for name, key in keys.items()}
        layers = [names.get(key, key) for key in root if any(_datasets(root[key]))]
    refuse_missing(name for name in layers if keys.get(name, name) not in root)
    return {name: list(_arrays_below(root[keys.get(name, name)])) for name in layers}


def _arrays_below(group: Any) -> Iterator[Any]:
    for dataset in _datasets(group):
        # Straight into memory of its own, without a buffer in between.
        array = np.empty(dataset.shape, dataset.dtype)
        if array.size:
            dataset.read_direct(array)
        yield array


def _datasets(group: Any) -> Iterator[Any]:
    """Yields a layer's arrays by number; those of layers inside it come after its own."""
    own = group.get("vars", {})
    yield from (own[number] for number in sorted(own, key=int))
    for name in group:
        if name != "vars" and hasattr(group[name], "keys"):
            yield from _datasets(group[name])


class _StoredMember(io.FileIO):
    """A member of a zip archive that is not compressed, as a file of its own."""

    _LOCAL_HEADER = 30

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        with zipfile.ZipFile(path) as files:
            if name not in files.namelist():
                raise BenchmarkError(f"{path} holds no {name}")
            info = files.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise BenchmarkError(f"{path}: {name} is compressed; it is read only whole")
        super().seek(info.header_offset)
        # Name and extra field, of lengths that the local header tells, stand before the data.
        lengths: tuple[int, ...] = struct.unpack("<26x2H", super().read(self._LOCAL_HEADER))
        self._start = info.header_offset + self._LOCAL_HEADER + sum(lengths)
        self._size = info.file_size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        return super().seek(self._start + base + offset) - self._start

    def tell(self) -> int:
        return super().tell() - self._start
