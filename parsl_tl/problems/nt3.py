"""NT3 (CANDLE, Pilot 1): normal or tumour tissue, by the expression of 60,483 genes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import find_data
from parsl_tl.problems.prepared import SplitFiles
from parsl_tl.problems.split import split_rows
from parsl_tl.problems.wide_csv import read_matrix

NT3_FILES: Final = ("nt_train2.csv", "nt_test2.csv")
_VERSION: Final = "nt3 1"
_CLASSES: Final = 2


class NT3(SplitFiles):
    """1,120 and 280 samples in two classes, as the NT3 benchmark of ECP-CANDLE has them.

    Inputs are float32 of shape ``(genes, 1)``, scaled by the largest absolute value that a gene has
    in both files, as the benchmark does; targets are one-hot float32. The number of genes is the
    files'.

    Args:
        folder: of ``nt_train2.csv`` and ``nt_test2.csv``; None looks in the data folder.
        validation: None judges by the test file, as published experiments do. A share splits it off
            the training file, with its share of each class; the test file is then the test part.
        seed: of the split.

    Raises:
        ProblemError: an argument is out of range, or a file is missing or damaged.
    """

    name: ClassVar[str] = "nt3"

    output_shape = (_CLASSES,)
    output_activation = "softmax"
    loss = "categorical_crossentropy"
    metrics = ("accuracy",)
    objective = "val_accuracy"
    epochs = 1
    batch_size = 20
    learning_rate = 1e-3
    optimizer = "adam"

    def __init__(
        self, *, folder: str | None = None, validation: float | None = None, seed: int = 0
    ) -> None:
        super().__init__(folder, validation, seed)

    def _prepare(self) -> NamedArrays:
        files = list(find_data(self.name, NT3_FILES, self.folder).values())
        split = None if self.validation is None else [self.validation, self.seed]
        return cached_arrays(files, _VERSION, {"split": split}, lambda: self._read(*files))

    def _read(self, train_file: Path, test_file: Path) -> NamedArrays:
        from sklearn.preprocessing import MaxAbsScaler

        (x, y), (x_other, y_other) = (_read_file(path) for path in (train_file, test_file))
        if x.shape[1] != x_other.shape[1]:
            raise ProblemError(
                f"{train_file} has {x.shape[1]} genes and {test_file} has {x_other.shape[1]}; "
                "they must be of one release"
            )
        scaler = MaxAbsScaler(copy=False).partial_fit(x).partial_fit(x_other)
        x, x_other = (scaler.transform(rows)[..., None] for rows in (x, x_other))
        if self.validation is None:
            return NamedArrays({"x_train": x, "y_train": y, "x_valid": x_other, "y_valid": y_other})
        split = split_rows(
            len(y), validation=self.validation, seed=self.seed, classes=y.argmax(axis=1)
        )
        return NamedArrays(
            {
                **{"x_train": x[split.train], "y_train": y[split.train]},
                **{"x_valid": x[split.valid], "y_valid": y[split.valid]},
                **{"x_test": x_other, "y_test": y_other},
            }
        )


def _read_file(path: Path) -> tuple[Array, Array]:
    """Returns expressions and one-hot classes."""
    matrix = read_matrix(path)
    classes = matrix[:, 0]
    if matrix.shape[1] < 2 or not np.isin(classes, range(_CLASSES)).all():
        raise ProblemError(
            f"the first column of {path} must be the class, 0 or 1, before the genes; "
            f"it has values from {classes.min():g} to {classes.max():g}"
        )
    return matrix[:, 1:], np.eye(_CLASSES, dtype=np.float32)[classes.astype(np.int64)]
