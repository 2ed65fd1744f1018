"""Named arrays in one HDF5 or ``.npz`` file, or in a folder of ``.npy`` files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from parsl_tl.errors import ProblemError

HDF5_SUFFIXES: Final = (".h5", ".hdf5", ".hdf")


def open_arrays(path: Path) -> dict[str, Any]:
    """Opens the arrays of a file or folder.

    Args:
        path: of an HDF5 file, whose data sets are mapped where they are contiguous float32, and
            else read as far as they are asked for; of an ``.npz`` file, which is read; or of a
            folder of ``.npy`` files, which are mapped.

    Returns:
        Arrays by name.

    Raises:
        ProblemError: it cannot be read.
    """
    try:
        if path.is_dir():
            return {
                file.stem: np.load(file, mmap_mode="r", allow_pickle=False)
                for file in sorted(path.glob("*.npy"))
            }
        if path.suffix.lower() in HDF5_SUFFIXES:
            return _open_hdf5(path)
        with np.load(path, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ProblemError(f"{path} cannot be read: {error}") from error


def _open_hdf5(path: Path) -> dict[str, Any]:
    import h5py

    file = h5py.File(path, "r")
    found: dict[str, Any] = {}
    for name, item in file.items():
        if isinstance(item, h5py.Group):  # a frame that pandas wrote
            item = item.get("block0_values")
        if isinstance(item, h5py.Dataset):
            found[name] = _mapped(path, item)
    return found


def _mapped(path: Path, dataset: Any) -> Any:
    """Maps float32 that are one piece of the file; returns every other data set as it is."""
    offset = dataset.id.get_offset()  # None in pieces, packed, or empty
    if offset is None or dataset.dtype != np.float32:
        return dataset
    return np.memmap(path, dataset.dtype, mode="r", offset=offset, shape=dataset.shape)


def pick_arrays(found: Mapping[str, Any], wanted: Sequence[str], path: Path) -> list[Any]:
    """Returns arrays by name, whatever the case of the letters.

    Args:
        found: the arrays of a file.
        wanted: names in lower case.
        path: of the file, for messages.

    Raises:
        ProblemError: one is missing.
    """
    lower = {name.lower(): array for name, array in found.items()}
    for name in wanted:
        if name not in lower:
            raise ProblemError(
                f"{path} has no array {name}; it has {', '.join(sorted(found)) or 'none'}"
            )
    return [lower[name] for name in wanted]
