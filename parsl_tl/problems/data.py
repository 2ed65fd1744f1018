"""Samples to train with and to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from parsl_tl.errors import ProblemError

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Array | tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Data:
    """Training and validation samples; no sample belongs in both.

    The arrays are made read-only: every evaluation of a worker shares them.

    Attributes:
        x_train: inputs, ``(n, *input_shape)``; a tuple of such for several inputs.
        y_train: targets, ``(n, *target_shape)``.
        x_valid: inputs to judge by, as ``x_train`` with another number of rows.
        y_valid: their targets.

    Raises:
        ProblemError: numbers of rows disagree, a part is empty, or a value is not finite.
    """

    x_train: Arrays
    y_train: Array
    x_valid: Arrays
    y_valid: Array

    def __post_init__(self) -> None:
        for part, x, y in (
            ("train", self.x_train, self.y_train),
            ("valid", self.x_valid, self.y_valid),
        ):
            for name, array in ((f"y_{part}", y), *((f"x_{part}", one) for one in as_tuple(x))):
                _check_array(name, array)
            if len(y) == 0:
                raise ProblemError(f"y_{part} is empty; every split needs at least one row")
            for array in (*as_tuple(x), y):
                if len(array) != len(y):
                    raise ProblemError(
                        f"x_{part} has {len(array)} rows and y_{part} has {len(y)}; "
                        "give one target for each row"
                    )
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise ProblemError(
                        f"the {part} data holds NaN or infinite values; clean or impute them"
                    )
                array.flags.writeable = False


def _check_array(name: str, array: Any) -> None:
    """Refuses what a model cannot compute with."""
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise ProblemError(f"{name} is a {type(array).__name__}; it must be a numpy array of rows")
    if array.dtype.kind not in "biufV":  # V: bfloat16 and its like
        raise ProblemError(f"{name} has the dtype {array.dtype}; encode it as numbers of one kind")


def as_tuple(arrays: Arrays) -> tuple[Array, ...]:
    """Returns the inputs as a tuple, whether the problem has one or several."""
    return arrays if isinstance(arrays, tuple) else (arrays,)
