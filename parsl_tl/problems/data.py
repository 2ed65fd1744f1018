"""Samples to train with, to judge by, and to test with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from parsl_tl.errors import ProblemError

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Array | tuple[Array, ...] | dict[str, Array]
"""One array, or one for each input or output: in their order, or by name."""

PARTS: Final = ("train", "valid", "test")

# Rows that are looked at together for values that are not finite: memory-mapped data stays mapped.
_CHUNK_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Data:
    """Training and validation samples, and test samples if there are some; no sample is in two.

    Arrays may be numpy's (memory-mapped ones, too), or pandas' and Arrow's, which become numpy's.
    They are made read-only: every evaluation of a worker shares them. What is larger than memory is
    a ``tf.data.Dataset`` or a ``keras.utils.PyDataset`` of batches in place of ``x``, with None in
    place of ``y``, as ``keras.Model.fit`` takes it.

    Attributes:
        x_train: inputs, ``(n, *input_shape)``; a tuple of such for several inputs, or a dict by
            the names that ``input_shape`` has.
        y_train: targets, ``(n, *target_shape)``; a tuple, or a dict by the heads' names, for
            several outputs.
        x_valid: inputs to judge by, as ``x_train`` with another number of rows.
        y_valid: their targets.
        x_test: inputs that no search sees, for ``parsl-tl evaluate``; None if there are none.
        y_test: their targets.
        weights_train: weight of each training row in the loss, ``(n,)``; None weighs all alike.
        class_weights: weight of each class number in the loss, for one output of classes; None
            weighs all alike.

    Raises:
        ProblemError: numbers of rows disagree, a part is empty, or a value is not finite.
    """

    x_train: Any
    y_train: Any
    x_valid: Any
    y_valid: Any
    x_test: Any = None
    y_test: Any = None
    weights_train: Any = field(default=None, kw_only=True)
    class_weights: Mapping[int, float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name != "class_weights":
                object.__setattr__(self, one.name, _as_numpy(getattr(self, one.name)))
        for part in PARTS:
            self._check_part(part)
        if self.weights_train is not None:
            if is_stream(self.x_train):
                raise ProblemError("weights_train goes with arrays; a stream yields (x, y, weight)")
            _check_array("weights_train", self.weights_train)
            _check_rows("weights_train", self.weights_train, len(leaves(self.y_train)[0]))
        if self.class_weights is not None and len(leaves(self.y_train)) != 1:
            raise ProblemError("class_weights goes with one output; give weights_train for several")

    def part(self, name: str) -> tuple[Any, Any]:
        """Returns the inputs and targets of ``"train"``, ``"valid"`` or ``"test"``.

        Raises:
            ProblemError: the data has no such part.
        """
        x, y = getattr(self, f"x_{name}"), getattr(self, f"y_{name}")
        if x is None:
            raise ProblemError(
                f"the data has no {name} part; give x_{name} and y_{name} to Data, or, for a "
                "built-in problem, the argument that splits one off"
            )
        return x, y

    @property
    def has_test(self) -> bool:
        """Whether there is a test part."""
        return self.x_test is not None

    def row_weights(self) -> Array | None:
        """Returns what each training row counts in the loss, by row and by class; None for 1."""
        weights = self.weights_train
        if self.class_weights is None:
            return None if weights is None else np.asarray(weights, np.float32)
        targets = leaves(self.y_train)[0]
        classes = targets.argmax(-1) if targets.ndim > 1 and targets.shape[-1] > 1 else targets
        table = np.ones(int(max(classes.max(), *self.class_weights)) + 1, np.float32)
        for number, weight in self.class_weights.items():
            table[int(number)] = weight
        by_class = table[classes.reshape(len(targets), -1)[:, 0].astype(np.int64)]
        return by_class if weights is None else by_class * np.asarray(weights, np.float32)

    def _check_part(self, part: str) -> None:
        x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
        if part == "test" and x is None and y is None:
            return
        if is_stream(x):
            if y is not None:
                raise ProblemError(f"x_{part} yields its targets itself, so y_{part} must be None")
            return
        inputs, targets = leaves(x), leaves(y)
        named = ((f"y_{part}", targets), (f"x_{part}", inputs))
        for name, arrays in named:
            for array in arrays:
                _check_array(name, array)
        rows = len(targets[0]) if targets else 0
        if rows == 0:
            raise ProblemError(f"y_{part} is empty; every split needs at least one row")
        for name, arrays in named:
            for array in arrays:
                if len(array) != rows:
                    raise ProblemError(
                        f"{name} has {len(array)} rows and y_{part} has {rows}; "
                        "give one target for each row"
                    )
                if not _is_finite(array):
                    raise ProblemError(
                        f"the {part} data holds NaN or infinite values; clean or impute them"
                    )
                array.flags.writeable = False


def is_stream(x: Any) -> bool:
    """Whether these are batches that are made as they are needed, and not arrays."""
    if x is None or isinstance(x, np.ndarray | tuple | dict):
        return False
    # Who made one has loaded its library.
    tensorflow, keras = sys.modules.get("tensorflow"), sys.modules.get("keras")
    return (tensorflow is not None and isinstance(x, tensorflow.data.Dataset)) or (
        keras is not None and isinstance(x, keras.utils.PyDataset)
    )


def leaves(arrays: Any) -> tuple[Array, ...]:
    """Returns the arrays in order, whether there is one, a tuple, or a dict of them."""
    if isinstance(arrays, dict):
        return tuple(arrays.values())
    return arrays if isinstance(arrays, tuple) else (arrays,)


def map_arrays(function: Callable[[Array], Any], arrays: Any) -> Any:
    """Returns what a function makes of each array, in the same structure."""
    if isinstance(arrays, dict):
        return {name: function(array) for name, array in arrays.items()}
    return tuple(map(function, arrays)) if isinstance(arrays, tuple) else function(arrays)


def _as_numpy(value: Any) -> Any:
    """Makes numpy arrays of what pandas and Arrow hold; other things stay as they are."""
    if isinstance(value, tuple | dict):
        return map_arrays(_as_numpy, value)
    library = type(value).__module__.partition(".")[0]
    if library == "pyarrow":
        value = value.to_pandas()
        library = type(value).__module__.partition(".")[0]
    if library != "pandas":
        return value
    array = value.to_numpy()
    if array.dtype == object and array.ndim == 2:  # columns of several kinds
        try:
            array = value.to_numpy(dtype=np.float32)
        except (TypeError, ValueError) as error:
            columns = [str(name) for name in value.select_dtypes(exclude=["number", "bool"])]
            raise ProblemError(
                f"the columns {columns} of a table hold no numbers; encode them, or leave them out"
            ) from error
    return array.copy()  # the frame may be written to


def _is_finite(array: Array) -> bool:
    if array.dtype.kind != "f" or array.ndim == 0:
        return True
    rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    return all(
        np.isfinite(array[first : first + rows]).all() for first in range(0, len(array), rows)
    )


def _check_array(name: str, array: Any) -> None:
    """Refuses what a model cannot compute with."""
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise ProblemError(f"{name} is a {type(array).__name__}; it must be a numpy array of rows")
    if array.dtype.kind not in "biufV":  # V: bfloat16 and its like
        raise ProblemError(f"{name} has the dtype {array.dtype}; encode it as numbers of one kind")


def _check_rows(name: str, array: Array, rows: int) -> None:
    if array.shape != (rows,):
        raise ProblemError(f"{name} has the shape {array.shape}; give one weight a row, ({rows},)")
