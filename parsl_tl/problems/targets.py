"""Whether targets fit what a problem says of its predictions and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import PARTS, Array, Data, is_stream, leaves
from parsl_tl.spaces.head import Head

# Losses whose targets are known; those of other losses are their own affair.
_CLASS_NUMBERS: Final = "sparse_categorical_crossentropy"
_ONE_HOT: Final = frozenset({"categorical_crossentropy", "categorical_focal_crossentropy"})
_LIKE_PREDICTIONS: Final = frozenset(
    {
        *("mse", "mean_squared_error", "mae", "mean_absolute_error", "huber", "log_cosh"),
        *("binary_crossentropy", "binary_focal_crossentropy"),
    }
)


def check_targets(name: str, heads: Sequence[Head], data: Data) -> None:
    """Compares targets with the declared predictions.

    Args:
        name: the problem's.
        heads: its outputs.
        data: the problem's.

    Raises:
        ProblemError: they do not fit.
    """
    for part in PARTS:
        x, targets = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if x is None or is_stream(x):
            continue
        _check_number(f"y_{part} of problem {name!r}", targets, heads)
        for head, y in zip(heads, targets_of(targets, heads), strict=True):
            where = f"y_{part} of problem {name!r}"
            if len(heads) > 1:
                where = f"{head.name!r} in {where}"
            if head.loss == _CLASS_NUMBERS:
                _check_class_numbers(where, y, head.loss, head.shape)
            elif head.loss in _ONE_HOT | _LIKE_PREDICTIONS:
                _check_shape(where, y, head.loss, head.shape)


def targets_of(targets: Any, heads: Sequence[Head]) -> tuple[Array, ...]:
    """Returns the targets of each head, in the heads' order."""
    if isinstance(targets, dict):
        return tuple(targets[head.name] for head in heads)
    return leaves(targets)


def _check_number(where: str, targets: Any, heads: Sequence[Head]) -> None:
    names = [head.name for head in heads]
    if isinstance(targets, dict):
        if sorted(targets) != sorted(names):
            raise ProblemError(f"{where} has targets {sorted(targets)}, but the heads are {names}")
    elif len(leaves(targets)) != len(heads):
        raise ProblemError(
            f"{where} holds {len(leaves(targets))} arrays for {len(heads)} heads; give a tuple in "
            "the heads' order, or a dict by their names"
        )


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
