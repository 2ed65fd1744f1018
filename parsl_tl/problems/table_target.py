"""What is learned from a table: classes, or one or several numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array
from parsl_tl.problems.table_columns import as_floats, plain

if TYPE_CHECKING:
    import pyarrow as pa

TASKS: Final = ("auto", "classification", "regression")

# Whole numbers are classes if there are few of them, with some rows for each.
_MOST_CLASSES: Final = 20
_LEAST_ROWS_PER_CLASS: Final = 5


@dataclass(frozen=True)
class Target:
    """Targets of all rows.

    Attributes:
        values: class numbers ``(n,)`` as int32, or float64 numbers ``(n, targets)``.
        classes: labels of the class numbers; empty for numbers.
    """

    values: Array
    classes: tuple[str, ...] = ()


def choose_task(table: pa.Table, names: list[str], task: str) -> str:
    """Returns whether columns hold classes or numbers.

    Args:
        table: whose rows all have targets.
        names: of the target columns.
        task: one of ``TASKS``; ``"auto"`` looks at the values: texts, booleans and few whole
            numbers are classes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if task != "auto":
        return task
    if len(names) > 1:
        return "regression"
    values = plain(table[names[0]])
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return "classification"
    if pa.types.is_floating(values.type) and not pc.all(pc.equal(values, pc.floor(values))).as_py():
        return "regression"
    distinct = pc.count_distinct(values).as_py()
    few = distinct <= min(_MOST_CLASSES, len(values) / _LEAST_ROWS_PER_CLASS)
    return "classification" if few else "regression"


def read_classes(table: pa.Table, name: str, path: Path) -> Target:
    """Numbers the classes of a column, in their order.

    Raises:
        ProblemError: there is one class only, or as many as rows.
    """
    import pyarrow.compute as pc

    column = plain(table[name])
    labels = pc.unique(column)
    labels = labels.take(pc.sort_indices(labels))
    classes = tuple(_label(value) for value in labels.to_pylist())
    if len(classes) == 1:
        raise ProblemError(
            f"target {name!r} of {path} has one class only, {classes[0]!r}; nothing can be learned"
        )
    if len(classes) == len(column):
        raise ProblemError(
            f"target {name!r} of {path} has as many classes as rows ({len(classes)}); "
            "name another column, or task=regression for numbers"
        )
    numbers = pc.index_in(column, value_set=labels)
    return Target(np.asarray(numbers.to_numpy(), np.int32), classes)


def number_classes(table: pa.Table, name: str, classes: tuple[str, ...], path: Path) -> Array:
    """Returns the class numbers of another table's rows.

    Raises:
        ProblemError: it has a class that the first table does not.
    """
    found = [_label(value) for value in plain(table[name]).to_pylist()]
    numbers = {label: number for number, label in enumerate(classes)}
    for label in found:
        if label not in numbers:
            raise ProblemError(
                f"target {name!r} of {path} has the class {label!r}, which no training row has"
            )
    return np.array([numbers[label] for label in found], np.int32)


def read_numbers(table: pa.Table, names: list[str], path: Path, *, varied: bool = True) -> Target:
    """Returns the numbers of one or several columns.

    Args:
        table: whose rows all have targets.
        names: of the target columns.
        path: of the table, for messages.
        varied: whether a column that always holds the same is refused.

    Raises:
        ProblemError: a column holds no numbers, or always the same.
    """
    import pyarrow as pa

    columns = []
    for name in names:
        try:
            numbers = as_floats(plain(table[name]))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ProblemError(
                f"target {name!r} of {path} holds no numbers ({error}); regression needs some, "
                "and one column of texts is learned with task=classification"
            ) from error
        if varied and (numbers == numbers[0]).all():
            raise ProblemError(
                f"target {name!r} of {path} is always {numbers[0]:g}; nothing can be learned"
            )
        columns.append(numbers)
    return Target(np.stack(columns, axis=1))


def _label(value: object) -> str:
    """Returns the text of a class; 1 and 1.0 are the same class."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
