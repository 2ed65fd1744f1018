"""Numpy arrays to raw bytes and back, for every dtype that a network's weights may have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError, StoreFormatError


def dtype_name(dtype: np.dtype[np.generic]) -> str:
    """Returns the name under which a dtype is stored (``float32``, ``bfloat16``, ...).

    Raises:
        InvalidValueError: the dtype holds Python objects, fields, or text.
    """
    # Kind V is raw memory, and also what ml_dtypes adds (bfloat16, ...), which has names.
    is_raw = dtype.kind == "V" and dtype.type is np.void
    if dtype.hasobject or dtype.names is not None or dtype.kind in "SUmM" or is_raw:
        raise InvalidValueError(f"weights of dtype {dtype} cannot be stored; use numbers")
    return dtype.name


def dtype_of(name: str) -> np.dtype[np.generic]:
    """Returns the dtype of a stored name.

    Raises:
        StoreFormatError: this installation knows no such dtype.
    """
    try:
        return np.dtype(name)
    except TypeError:
        pass  # not one of numpy's own: bfloat16 and the 8-bit floats come from ml_dtypes
    import ml_dtypes

    try:
        found: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, name))
    except AttributeError as error:
        raise StoreFormatError(
            f"the store holds weights of dtype {name!r}, which neither numpy nor ml_dtypes knows"
        ) from error
    return found


def fits_keras_files(dtype: np.dtype[np.generic]) -> bool:
    """Returns whether Keras reads back what it writes of a dtype: not so for 8-bit floats."""
    return dtype.isbuiltin == 1 or dtype.name == "bfloat16"


def to_bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Returns the array's memory in C order and native byte order; no copy where it has both."""
    native = array.dtype.newbyteorder("=")
    contiguous = np.ascontiguousarray(array, dtype=native)
    return contiguous.reshape(-1).view(np.uint8)


def restored(array: NDArray[np.generic], dtype: str, shape: Sequence[int]) -> NDArray[np.generic]:
    """Returns an array as what it was, where a file format knows its dtype as mere bytes.

    Args:
        array: as it was read.
        dtype: the name of the dtype it had.
        shape: its shape.

    Raises:
        StoreFormatError: this installation knows no such dtype.
        ValueError: there are more or fewer bytes.
    """
    wanted = dtype_of(dtype)
    if array.dtype == wanted and array.shape == tuple(shape):
        return array
    return np.frombuffer(array.tobytes(), wanted).reshape(shape)
