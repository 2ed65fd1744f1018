"""Handwritten digits: small, real, and bundled with scikit-learn, so no network is needed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsl_tl.problems.data import Data
from parsl_tl.problems.problem import Problem, check_count, check_fraction
from parsl_tl.problems.split import split_rows

_CLASSES = 10
_BRIGHTEST = 16.0


class Digits(Problem):
    """1,797 images of 8 x 8 pixels, ten classes (UCI ML hand-written digits, scikit-learn's copy).

    Inputs are float32 in [0, 1]. Targets are one-hot float32 of width 10, or int32 class numbers.
    The split is stratified: every part has its share of each class.

    Args:
        validation: share of the images to validate on.
        seed: of the split.
        one_hot: targets as one-hot rows; else as class numbers.
        test: share of the images that a search never sees; None for none.
        flat: whether an image is a vector of 64; else it has the shape ``(8, 8, 1)``.

    Raises:
        ProblemError: an argument is out of range.
    """

    name: ClassVar[str] = "digits"
    imports: ClassVar[tuple[str, ...]] = ("sklearn.datasets", "sklearn.model_selection")

    output_shape = (_CLASSES,)
    output_activation = "softmax"
    metrics = ("accuracy",)
    objective = "val_accuracy"
    epochs = 8
    batch_size = 64
    learning_rate = 2e-3

    def __init__(
        self,
        *,
        validation: float = 0.2,
        seed: int = 0,
        one_hot: bool = True,
        test: float | None = None,
        flat: bool = True,
    ) -> None:
        super().__init__()
        self.validation = check_fraction("validation", validation)
        self.seed = check_count("seed", seed, least=0)
        self.one_hot = one_hot
        self.test = None if test is None else check_fraction("test", test)
        self.input_shape = (64,) if flat else (8, 8, 1)
        self.loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"

    def _load(self) -> Data:
        from sklearn.datasets import load_digits

        pixels, classes = load_digits(return_X_y=True)
        x = (pixels / _BRIGHTEST).astype(np.float32).reshape(-1, *self.input_shape)
        y = np.eye(_CLASSES, dtype=np.float32)[classes] if self.one_hot else classes.astype("int32")
        split = split_rows(
            len(x),
            validation=self.validation,
            test=self.test,
            seed=self.seed,
            classes=classes,
        )
        tested = (x[split.test], y[split.test]) if len(split.test) else (None, None)
        return Data(x[split.train], y[split.train], x[split.valid], y[split.valid], *tested)
