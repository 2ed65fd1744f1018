"""Transfer through Keras' own files: ``.weights.h5``, or whole models as ``.keras``."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from parsl_tl.errors import InvalidValueError, TransferError
from parsl_tl.transfer.client_catalog import DonorBy
from parsl_tl.transfer.model_files import FileTransfer
from parsl_tl.transfer.model_record import ModelRecord

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


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
    ) -> Mapping[str, str]:
        """See ``FileTransfer.write_file``."""
        try:
            model.save(path) if self.suffix == ".keras" else model.save_weights(path)
        except RuntimeError as error:  # what h5py raises when a file cannot be closed
            raise OSError(str(error)) from error
        with _open(path) as file:
            # Keras names groups by class and place, and notes the layer's name beside.
            groups = {
                str(group["vars"].attrs["name"]): group
                for group in file.get("layers", {}).values()
                if "vars" in group
            }
            places = {}
            for name, layer in layers.items():
                group = groups.get(layer.name)
                if group is None or len(group["vars"]) != len(layer.weights):
                    raise TransferError(
                        f"layer {layer.name!r} is a model itself, which the files of transfer "
                        f"method {self.name!r} keep in parts; use safetensors or store"
                    )
                places[name] = f"{group.name}/vars"
        return places

    def read_file(
        self, path: Path, record: ModelRecord, names: Collection[str]
    ) -> dict[str, list[NDArray[Any]]]:
        """See ``FileTransfer.read_file``."""
        with _open(path) as file:
            return {
                name: [
                    file[f"{record.places[name]}/{index}"][()]
                    for index in range(len(record.shapes[name]))
                ]
                for name in names
            }


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
