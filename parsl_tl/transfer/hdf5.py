"""Transfer through Keras' own files: ``.weights.h5``, or whole models as ``.keras``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from parsl_tl.errors import InvalidValueError, TransferError
from parsl_tl.store.tensors import fits_keras_files, restored
from parsl_tl.transfer.client_catalog import DonorBy
from parsl_tl.transfer.model_files import FileTransfer
from parsl_tl.transfer.model_record import ModelRecord

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


_Content: TypeAlias = tuple[tuple[int, ...], int, bytes]


class Hdf5Transfer(FileTransfer):
    """One Keras file per model. Conforms to ``TransferMethod``.

    The files are Keras' own, so that ``load_weights`` or ``load_model`` read them.
    """

    name = "hdf5"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        donor: DonorBy = "search",
        min_quality: float | None = None,
        file_format: Literal["weights.h5", "keras"] = "weights.h5",
    ) -> None:
        """Makes the folder.

        Args:
            folder: on a file system that all workers share.
            donor: see ``FileTransfer``.
            min_quality: models of less quality are no donors.
            file_format: ``weights.h5``, or ``keras`` for whole models.

        Raises:
            InvalidValueError: a value that is not among these.
            StoreError: the folder cannot be made.
        """
        if file_format not in ("weights.h5", "keras"):
            raise InvalidValueError(f"file_format={file_format!r}; choose 'weights.h5' or 'keras'")
        self.suffix = f".{file_format}"
        super().__init__(folder, donor=donor, min_quality=min_quality)

    def write_file(
        self,
        path: Path,
        model: keras.Model,
        layers: Mapping[str, Any],
        weights: Mapping[str, list[NDArray[Any]]],
    ) -> Mapping[str, Sequence[str]]:
        """See ``FileTransfer.write_file``."""
        for name, arrays in weights.items():
            for array in arrays:
                if not fits_keras_files(array.dtype):
                    raise TransferError(
                        f"layer {name!r} has weights of dtype {array.dtype}, which Keras' files do "
                        "not hold; use transfer method safetensors or store"
                    )
        try:
            model.save(path) if self.suffix == ".keras" else model.save_weights(path)
        except RuntimeError as error:  # what h5py raises when a file cannot be closed
            raise OSError(str(error)) from error
        with _open(path) as file:
            return _places(file, layers, weights)

    def read_file(
        self, path: Path, record: ModelRecord, names: Collection[str]
    ) -> dict[str, list[NDArray[Any]]]:
        """See ``FileTransfer.read_file``."""
        with _open(path) as file:
            return {
                name: [
                    restored(np.asarray(file[place][()]), dtype, shape)
                    for place, (shape, dtype) in zip(
                        record.places[name], record.shapes[name], strict=True
                    )
                ]
                for name in names
            }


def _places(
    file: Any, layers: Mapping[str, Any], weights: Mapping[str, list[NDArray[Any]]]
) -> dict[str, list[str]]:
    """Finds the data set of each weight.

    Raises:
        TransferError: Keras has written something else in its place.
    """
    # Keras names groups by class and place, and notes the layer's name beside.
    groups = {
        str(group["vars"].attrs["name"]): group["vars"]
        for group in file.get("layers", {}).values()
        if "vars" in group
    }
    places: dict[str, list[str]] = {}
    contents: dict[_Content, str] = {}
    for name, layer in layers.items():
        group = groups.get(layer.name)
        if group is not None and len(group) == len(weights[name]) and _is_written_in_order(layer):
            places[name] = [f"{group.name}/{index}" for index in range(len(group))]
            continue
        # Models and wrappers are kept in parts, other layers in an order of their own. What has
        # the same bytes serves as well.
        contents = contents or _contents(file)
        found = [contents.get(_content(array)) for array in weights[name]]
        if None in found:
            raise TransferError(
                f"layer {layer.name!r} of class {type(layer).__name__} is not kept weight by "
                "weight in Keras' files; use transfer method safetensors or store"
            )
        places[name] = [place for place in found if place is not None]
    return places


def _is_written_in_order(layer: Any) -> bool:
    """Returns whether Keras writes a layer's weights one after the other, as they are listed."""
    if next(iter(layer._flatten_layers(include_self=False, recursive=False)), None) is not None:
        return False
    if getattr(layer, "quantization_mode", None) is not None:
        return False
    definer = next(base for base in type(layer).__mro__ if "save_own_variables" in vars(base))
    return definer.__module__.startswith("keras.")


def _contents(file: Any) -> dict[_Content, str]:
    """Maps what is in the data sets of a file to where it is."""
    found: dict[_Content, str] = {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "dtype"):
            found.setdefault(_content(np.asarray(item[()])), f"/{name}")

    file.visititems(visit)
    return found


def _content(array: NDArray[Any]) -> _Content:
    digest = hashlib.blake2b(array.tobytes()).digest()
    return array.shape, array.dtype.itemsize, digest


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Opens the HDF5 part of a Keras file."""
    import h5py

    if path.suffix == ".keras":
        try:
            with (
                zipfile.ZipFile(path) as archive,
                archive.open("model.weights.h5") as part,
                h5py.File(part, "r") as file,
            ):
                yield file
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from error
        return
    with h5py.File(path, "r") as file:
        yield file
