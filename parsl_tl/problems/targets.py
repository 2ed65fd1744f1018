"""Whether targets fit what a problem says of its predictions and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from parsl_tl.errors import ProblemError

if TYPE_CHECKING:
    from parsl_tl.problems.problem import Array, Data, Problem

# Losses whose targets are known; those of other losses are their own affair.
_CLASS_NUMBERS: Final = "sparse_categorical_crossentropy"
_ONE_HOT: Final = frozenset({"categorical_crossentropy", "categorical_focal_crossentropy"})
_LIKE_PREDICTIONS: Final = frozenset(
    {
        *("mse", "mean_squared_error", "mae", "mean_absolute_error", "huber", "log_cosh"),
        *("binary_crossentropy", "binary_focal_crossentropy"),
    }
)


def check_targets(problem: Problem, data: Data) -> None:
    """Compares targets with the declared predictions.

    Args:
        problem: says ``output_shape`` and ``loss``.
        data: of the problem.

    Raises:
        ProblemError: they do not fit.
    """
    for part, y in (("train", data.y_train), ("valid", data.y_valid)):
        where = f"y_{part} of problem {problem.name!r}"
        if problem.loss == _CLASS_NUMBERS:
            _check_class_numbers(problem, where, y)
        elif problem.loss in _ONE_HOT | _LIKE_PREDICTIONS:
            _check_shape(problem, where, y)


def _check_class_numbers(problem: Problem, where: str, y: Array) -> None:
    classes = problem.output_shape[-1]
    if y.shape[1:] not in (problem.output_shape[:-1], (*problem.output_shape[:-1], 1)):
        raise ProblemError(
            f"{where} has the shape {y.shape}, but {problem.loss} takes one class number for each "
            "row; for one-hot rows use categorical_crossentropy"
        )
    if (y != np.floor(y)).any() or y.min() < 0 or y.max() >= classes:
        raise ProblemError(
            f"{where} holds values from {y.min()} to {y.max()}, but output_shape "
            f"{problem.output_shape} means class numbers from 0 to {classes - 1}"
        )


def _check_shape(problem: Problem, where: str, y: Array) -> None:
    shape = tuple(problem.output_shape)
    fits = [shape]
    if problem.loss in _LIKE_PREDICTIONS and shape[-1] == 1:
        fits.append(shape[:-1])  # Keras adds the axis
    if y.shape[1:] not in fits:
        remedy = (
            "; for class numbers use sparse_categorical_crossentropy"
            if problem.loss in _ONE_HOT
            else ""
        )
        raise ProblemError(
            f"{where} has targets of the shape {y.shape[1:]}, but output_shape says {shape} and "
            f"the loss {problem.loss} compares the two{remedy}"
        )
