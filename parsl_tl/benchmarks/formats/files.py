"""A model's weights in the formats of files: written, read back whole, and layer by layer.

A format is one class; what it is called is in ``FILE_FORMATS``. Layers are known by their Keras
names, except in a Keras weights file that is read without its model, which does not hold them.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.file_cache import files_under
from parsl_tl.errors import BenchmarkError

Array = NDArray[np.generic]
LayerArrays = dict[str, list[Array]]


class FileFormat(Protocol):
    """How weights become files, and files weights."""

    suffix: str
    """Of the file, or of the files' common beginning."""

    def save(self, model: Any, path: Path) -> None:
        """Writes all weights, to a path with the suffix."""
        ...

    def load(self, model: Any, path: Path) -> Any:
        """Returns a model with the weights of the file: this one, or another if all is stored."""
        ...

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
        ...


class WeightsHdf5:
    """Keras's ``model.save_weights``: HDF5."""

    suffix = ".weights.h5"

    def save(self, model: Any, path: Path) -> None:
        """See ``FileFormat``."""
        model.save_weights(path)

    def load(self, model: Any, path: Path) -> Any:
        """See ``FileFormat``."""
        model.load_weights(path)
        return model

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """See ``FileFormat``."""
        import h5py

        with h5py.File(path, "r") as file:
            return _read_hdf5(file, layers, keys)


class KerasFile:
    """Keras's ``model.save``: architecture and weights in a zip archive."""

    suffix = ".keras"

    def save(self, model: Any, path: Path) -> None:
        """See ``FileFormat``."""
        model.save(path)

    def load(self, model: Any, path: Path) -> Any:
        """See ``FileFormat``."""
        import keras

        return keras.models.load_model(path, compile=False)

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """See ``FileFormat``."""
        import h5py

        # The archive is not compressed, so that HDF5 can read inside it, and only what it needs.
        with path.open("rb") as whole, h5py.File(_StoredMember(whole, _WEIGHTS), "r") as file:
            return _read_hdf5(file, layers, keys)


class SafetensorsFile:
    """One safetensors file; tensors are called ``<layer>/<number>``."""

    suffix = ".safetensors"

    def save(self, model: Any, path: Path) -> None:
        """See ``FileFormat``."""
        from safetensors.numpy import save_file

        save_file(dict(_numbered_arrays(model)), path)

    def load(self, model: Any, path: Path) -> Any:
        """See ``FileFormat``."""
        for name, arrays in self.read(path, None, {}).items():
            model.get_layer(name).set_weights(arrays)
        return model

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """See ``FileFormat``."""
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return _read_numbered(file.keys(), layers, file.get_tensor)


class TensorFlowCheckpoint:
    """A TensorFlow checkpoint of the model's variables, called ``<layer>/<number>``."""

    suffix = ".ckpt"

    def save(self, model: Any, path: Path) -> None:
        """See ``FileFormat``."""
        self._checkpoint(model).write(str(path))

    def load(self, model: Any, path: Path) -> Any:
        """See ``FileFormat``."""
        self._checkpoint(model).read(str(path)).assert_consumed()
        return model

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """See ``FileFormat``."""
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(path))
        # Names in checkpoints write ".S" for a slash, and ".." for a dot.
        known = {
            re.sub(
                r"\.(S|\.)", lambda m: "/" if m[1] == "S" else ".", key.removesuffix(_TF_VALUE)
            ): key
            for key in reader.get_variable_to_shape_map()
            if key.endswith(_TF_VALUE) and not key.startswith("save_counter")
        }
        return _read_numbered(known, layers, lambda name: reader.get_tensor(known[name]))

    def _checkpoint(self, model: Any) -> Any:
        import tensorflow as tf

        return tf.train.Checkpoint(
            **{
                f"{layer.name}/{number}": weight.value
                for layer in layers_with_weights(model)
                for number, weight in enumerate(layer.weights)
            }
        )


FILE_FORMATS: Final[Mapping[str, FileFormat]] = {
    "weights.h5": WeightsHdf5(),
    "keras": KerasFile(),
    "safetensors": SafetensorsFile(),
    "tensorflow": TensorFlowCheckpoint(),
}
_WEIGHTS: Final = "model.weights.h5"
_TF_VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"


def layers_with_weights(model: Any) -> list[Any]:
    """Returns the model's layers that hold weights, in its order; a model inside is one layer."""
    return [layer for layer in model.layers if layer.weights]


def layer_arrays(model: Any) -> LayerArrays:
    """Copies the weights of every layer out of Keras, by name."""
    return {
        layer.name: [np.array(weight) for weight in layer.get_weights()]
        for layer in layers_with_weights(model)
    }


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


def written_files(path: Path) -> list[Path]:
    """Returns the files that a format made of a path: one, or several with a common beginning."""
    if path.is_file():
        return [path]
    return sorted(path.parent.glob(f"{path.name}.*")) or files_under(path)


def format_of(path: Path) -> str:
    """Returns the name of the format that a path's suffix stands for.

    Raises:
        BenchmarkError: there is none.
    """
    name = path.name.removesuffix(".index")
    for known, file_format in FILE_FORMATS.items():
        if name.endswith(file_format.suffix):
            return known
    suffixes = ", ".join(file_format.suffix for file_format in FILE_FORMATS.values())
    raise BenchmarkError(f"{path}: the name must end in one of {suffixes}")


def _numbered_arrays(model: Any) -> Iterator[tuple[str, Array]]:
    for name, arrays in layer_arrays(model).items():
        for number, array in enumerate(arrays):
            yield f"{name}/{number}", array


def _read_numbered(names: Collection[str], layers: Collection[str] | None, get: Any) -> LayerArrays:
    wanted = None if layers is None else set(layers)
    numbers: dict[str, list[int]] = {} if layers is None else {name: [] for name in layers}
    for name in names:
        layer, _, number = name.rpartition("/")
        if wanted is None or layer in wanted:
            numbers.setdefault(layer, []).append(int(number))
    _refuse_missing(layer for layer, found in numbers.items() if not found)
    return {
        layer: [np.asarray(get(f"{layer}/{number}")) for number in sorted(found)]
        for layer, found in numbers.items()
    }


def _read_hdf5(file: Any, layers: Collection[str] | None, keys: Mapping[str, str]) -> LayerArrays:
    root = file.get("layers", {})
    if layers is None:
        names = {key: name for name, key in keys.items()}
        layers = [names.get(key, key) for key in root if _holds_weights(root[key])]
    _refuse_missing(name for name in layers if keys.get(name, name) not in root)
    return {name: list(_arrays_below(root[keys.get(name, name)])) for name in layers}


def _holds_weights(group: Any) -> bool:
    return any(True for _ in _datasets(group))


def _arrays_below(group: Any) -> Iterator[Array]:
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


def _refuse_missing(names: Iterator[str]) -> None:
    missing = sorted(names)
    if missing:
        raise BenchmarkError(f"the file has no layer {', '.join(missing[:5])}")


class _StoredMember(io.RawIOBase):
    """A member of a zip archive that is not compressed, as a file of its own."""

    _LOCAL_HEADER = 30

    def __init__(self, archive: Any, name: str) -> None:
        with zipfile.ZipFile(archive) as files:
            try:
                info = files.getinfo(name)
            except KeyError:
                raise BenchmarkError(f"{archive.name} holds no {name}") from None
        if info.compress_type != zipfile.ZIP_STORED:
            raise BenchmarkError(f"{archive.name}: {name} is compressed; it is read only whole")
        archive.seek(info.header_offset)
        header = archive.read(self._LOCAL_HEADER)
        # Name and extra field, of lengths that the local header tells, stand before the data.
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        self._archive = archive
        self._start = info.header_offset + self._LOCAL_HEADER + lengths
        self._size = info.file_size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._archive.seek(self._start + self._position)
        read: int = self._archive.readinto(view[:count])
        self._position += read
        return read
