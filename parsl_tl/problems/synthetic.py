"""Synthetic regression of any width: the sum of uniform numbers, from a seed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsl_tl.problems.data import Array, Data
from parsl_tl.problems.problem import Problem, check_count, check_fraction

_LARGEST, _SMALLEST = 100.0, 1.0


class Synthetic(Problem):
    """Learn the sum of ``width`` numbers, each uniform in (1, 100].

    Inputs and targets are min-max scaled and then standardized, with statistics of the training
    rows only. Inputs are float32 of shape ``(width,)``, targets float32 of shape ``(1,)``.

    Args:
        rows: samples in all.
        width: numbers per sample.
        seed: of the numbers and of the split.
        validation: share of the rows to validate on.

    Raises:
        ProblemError: an argument is out of range.
    """

    name: ClassVar[str] = "synthetic"

    output_shape = (1,)
    output_activation = "linear"
    loss = "mse"
    metrics = ("r2",)
    objective = "val_r2"
    epochs = 1
    batch_size = 256
    learning_rate = 1e-3

    def __init__(
        self,
        *,
        rows: int = 100_000,
        width: int = 10,
        seed: int = 42,
        validation: float = 0.2,
    ) -> None:
        super().__init__()
        # Two rows on each side: a scale and an R2 need a spread.
        self.rows = check_count("rows", rows, least=10)
        self.width = check_count("width", width, least=1)
        self.seed = check_count("seed", seed, least=0)
        self.validation = check_fraction("validation", validation)
        self.input_shape = (self.width,)

    def _load(self) -> Data:
        from sklearn.model_selection import train_test_split

        random = np.random.default_rng(self.seed)
        # random() is in [0, 1): counting down from the largest value makes the upper end closed.
        x = _LARGEST - random.random((self.rows, self.width)) * (_LARGEST - _SMALLEST)
        y = x.sum(axis=1, keepdims=True)
        x_train, x_valid, y_train, y_valid = train_test_split(
            x, y, test_size=self.validation, random_state=self.seed
        )
        x_train, x_valid = _scale(x_train, x_valid)
        y_train, y_valid = _scale(y_train, y_valid)
        return Data(x_train, y_train, x_valid, y_valid)


def _scale(train: Array, valid: Array) -> tuple[Array, Array]:
    """Scales both by what the training rows alone show."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    scaler = make_pipeline(MinMaxScaler(), StandardScaler()).fit(train)
    return (
        scaler.transform(train).astype(np.float32),
        scaler.transform(valid).astype(np.float32),
    )
