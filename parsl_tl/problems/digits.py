"""Handwritten digits: small, real, and bundled with scikit-learn, so no network is needed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsl_tl.problems.data import Data
from parsl_tl.problems.problem import Problem, check_count, check_fraction

_CLASSES = 10
_BRIGHTEST = 16.0


class Digits(Problem):
    """1,797 images of 8 x 8 pixels, ten classes (UCI ML hand-written digits, scikit-learn's copy).

    Inputs are float32 in [0, 1], shape ``(64,)``. Targets are one-hot float32 of width 10, or
    int32 class numbers. The split is stratified: every class has its share on both sides.

    Args:
        validation: share of the images to validate on.
        seed: of the split.
        one_hot: targets as one-hot rows; else as class numbers.

    Raises:
        ProblemError: an argument is out of range.
    """

    name: ClassVar[str] = "digits"

    input_shape = (64,)
    output_shape = (_CLASSES,)
    output_activation = "softmax"
    metrics = ("accuracy",)
    objective = "val_accuracy"
    epochs = 8
    batch_size = 64
    learning_rate = 2e-3

    def __init__(self, *, validation: float = 0.2, seed: int = 0, one_hot: bool = True) -> None:
        super().__init__()
        self.validation = check_fraction("validation", validation)
        self.seed = check_count("seed", seed, least=0)
        self.one_hot = one_hot
        self.loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"

    def _load(self) -> Data:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        pixels, classes = load_digits(return_X_y=True)
        x = (pixels / _BRIGHTEST).astype(np.float32)
        y = np.eye(_CLASSES, dtype=np.float32)[classes] if self.one_hot else classes.astype("int32")
        x_train, x_valid, y_train, y_valid = train_test_split(
            x, y, test_size=self.validation, random_state=self.seed, stratify=classes
        )
        return Data(x_train, y_train, x_valid, y_valid)
