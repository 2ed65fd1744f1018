"""Whether targets fit what a problem says of its predictions and its loss."""

from __future__ import annotations

from typing import Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array, Data

# Losses whose targets are known; those of other losses are their own affair.
_CLASS_NUMBERS: Final = "sparse_categorical_crossentropy"
_ONE_HOT: Final = frozenset({"categorical_crossentropy", "categorical_focal_crossentropy"})
_LIKE_PREDICTIONS: Final = frozenset(
    {
        *("mse", "mean_squared_error", "mae", "mean_absolute_error", "huber", "log_cosh"),
        *("binary_crossentropy", "binary_focal_crossentropy"),
    }
)


def check_targets(name: str, loss: str, output_shape: tuple[int, ...], data: Data) -> None:
    """Compares targets with the declared predictions.

    Args:
        name: the problem's.
        loss: a Keras loss name.
        output_shape: of one prediction.
        data: the problem's.

    Raises:
        ProblemError: they do not fit.
    """
    for part, y in (("train", data.y_train), ("valid", data.y_valid)):
        where = f"y_{part} of problem {name!r}"
        if loss == _CLASS_NUMBERS:
            _check_class_numbers(where, y, loss, output_shape)
        elif loss in _ONE_HOT | _LIKE_PREDICTIONS:
            _check_shape(where, y, loss, output_shape)


def _check_class_numbers(where: str, y: Array, loss: str, output_shape: tuple[int, ...]) -> None:
    classes = output_shape[-1]
    if y.shape[1:] not in (output_shape[:-1], (*output_shape[:-1], 1)):
        raise ProblemError(
            f"{where} has the shape {y.shape}, but {loss} takes one class number for each "
            "row; for one-hot rows use categorical_crossentropy"
        )
    if (y != np.floor(y)).any() or y.min() < 0 or y.max() >= classes:
        raise ProblemError(
            f"{where} holds values from {y.min()} to {y.max()}, but output_shape "
            f"{output_shape} means class numbers from 0 to {classes - 1}"
        )


def _check_shape(where: str, y: Array, loss: str, output_shape: tuple[int, ...]) -> None:
    fits = [output_shape]
    if loss in _LIKE_PREDICTIONS and output_shape[-1] == 1:
        fits.append(output_shape[:-1])  # Keras adds the axis
    if y.shape[1:] not in fits:
        remedy = (
            "; for class numbers use sparse_categorical_crossentropy" if loss in _ONE_HOT else ""
        )
        raise ProblemError(
            f"{where} has targets of the shape {y.shape[1:]}, but output_shape says "
            f"{output_shape} and the loss {loss} compares the two{remedy}"
        )
