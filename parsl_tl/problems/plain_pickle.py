"""Pickles that hold data and nothing else."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from parsl_tl.errors import ProblemError

# What numpy's arrays are made by, of its releases 1 and 2, and of Python 2.
_NUMPY: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("_codecs", "encode"): ("_codecs", "encode"),
    **{
        (module, name): ("numpy._core.multiarray", name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    },
}


class _PlainUnpickler(pickle.Unpickler):
    """Makes numbers, texts, lists, dicts, and arrays if they are allowed."""

    def __init__(self, file: io.BufferedIOBase, *, arrays: bool) -> None:
        super().__init__(file, encoding="bytes" if arrays else "ASCII")
        self._arrays = arrays

    def find_class(self, module: str, name: str) -> Any:
        known = _NUMPY.get((module, name)) if self._arrays else None
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no data")
        return super().find_class(*known)


def read_pickle(content: bytes, path: Path, *, arrays: bool = False) -> Any:
    """Reads a pickle that cannot run code.

    Args:
        content: the pickle.
        path: where it is from, for messages.
        arrays: whether it may hold numpy arrays; then texts of Python 2 are bytes.

    Raises:
        ProblemError: it names anything else than data, or is damaged.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content), arrays=arrays).load()
    except Exception as error:  # of damaged bytes, any
        raise ProblemError(f"{path} cannot be read: {error or type(error).__name__}") from error
