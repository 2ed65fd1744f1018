"""Rows to train with, to judge by, and to test with at the end."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array


class Split(NamedTuple):
    """Numbers of rows; every row is in one part."""

    train: Array
    valid: Array
    test: Array


def split_rows(
    num_rows: int,
    *,
    validation: float,
    test: float | None = None,
    seed: int = 0,
    classes: Array | None = None,
) -> Split:
    """Splits rows at random.

    Args:
        num_rows: there are.
        validation: share of all rows to judge by.
        test: share of all rows that a search never sees; None for none.
        seed: of the split.
        classes: of the rows, if every part shall have its share of each. Classes with fewer rows
            than there are parts are trained with only.

    Returns:
        Row numbers, shuffled.

    Raises:
        ProblemError: a part would be empty, or smaller than the number of classes.
    """
    if validation + (test or 0.0) >= 1:
        raise ProblemError(
            f"validation={validation} and test={test} leave no rows to train with; "
            "together they must be less than 1"
        )
    rows = np.arange(num_rows)
    rare = rows[:0]
    if classes is not None:
        _, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
        is_rare = counts[numbers] < (2 if test is None else 3)
        rare, rows = rows[is_rare], rows[~is_rare]
    tested = rows[:0]
    if test is not None:
        rows, tested = _split_off(rows, test * num_rows, seed, classes, "test")
    train, valid = _split_off(rows, validation * num_rows, seed, classes, "validation")
    return Split(np.concatenate([train, rare]), valid, tested)


def _split_off(
    rows: Array, wanted: float, seed: int, classes: Array | None, what: str
) -> tuple[Array, Array]:
    from sklearn.model_selection import train_test_split

    count = math.ceil(wanted)  # as scikit-learn rounds
    least = 1 if classes is None else len(np.unique(classes[rows]))
    if not (count >= least and len(rows) - count >= least):
        one_each = f" with one of each of {least} classes" if least > 1 else ""
        raise ProblemError(
            f"{count} of {len(rows)} rows for {what} leave a part empty or too small; every part "
            f"needs at least {least}{one_each}: give more rows or another share"
        )
    kept, taken = train_test_split(
        rows,
        test_size=count,
        random_state=seed,
        stratify=None if classes is None else classes[rows],
    )
    return kept, taken
