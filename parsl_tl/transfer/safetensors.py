"""Transfer through safetensors files, of which only the layers that are needed are read."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.errors import TransferError
from parsl_tl.store.tensors import fits_keras_files, restored, to_bytes
from parsl_tl.transfer.client_catalog import DonorBy
from parsl_tl.transfer.model_files import FileTransfer
from parsl_tl.transfer.model_record import ModelRecord

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray


class SafetensorsTransfer(FileTransfer):
    """One safetensors file per model; tensors are called ``<layer>/<number>``.

    Conforms to ``TransferMethod``.
    """

    name = "safetensors"
    suffix = ".safetensors"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        donor: DonorBy = "search",
        min_quality: float | None = None,
    ) -> None:
        """Makes the folder; see ``FileTransfer``.

        Raises:
            TransferError: the package safetensors is not installed.
        """
        try:
            import safetensors  # noqa: F401
        except ImportError as error:
            raise TransferError(
                "transfer method 'safetensors' needs a package: pip install 'parsl-tl[safetensors]'"
            ) from error
        super().__init__(folder, donor=donor, min_quality=min_quality)

    def write_file(
        self,
        path: Path,
        model: keras.Model,
        layers: Mapping[str, Any],
        weights: Mapping[str, list[NDArray[Any]]],
    ) -> Mapping[str, Sequence[str]]:
        """See ``FileTransfer.write_file``."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        tensors = {
            f"{name}/{index}": _plain(array)
            for name, arrays in weights.items()
            for index, array in enumerate(arrays)
        }
        try:
            save_file(tensors, path)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        return {}

    def read_file(
        self, path: Path, record: ModelRecord, names: Collection[str]
    ) -> dict[str, list[NDArray[Any]]]:
        """See ``FileTransfer.read_file``."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                return {
                    name: [
                        restored(file.get_tensor(f"{name}/{index}"), dtype, shape)
                        for index, (shape, dtype) in enumerate(record.shapes[name])
                    ]
                    for name in names
                }
        except SafetensorError as error:
            raise ValueError(str(error)) from error


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Returns an array that safetensors writes and reads: it takes memory for being in C order."""
    if fits_keras_files(array.dtype):  # what Keras can keep, safetensors can
        return np.ascontiguousarray(array).reshape(array.shape)
    return to_bytes(array)  # 8-bit floats are written, but not read
