"""ATTN (CANDLE, Pilot 1): whether a drug works on a cell line, where few do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.array_files import open_arrays, pick_arrays
from parsl_tl.problems.data import Array, Data
from parsl_tl.problems.data_folder import data_folder, find_file
from parsl_tl.problems.prepared import PreparedProblem

ATTN_FILES: Final = ("training_attn.h5", "top_21_1fold_001.h5")
_VERSION: Final = "attn 1"
_CLASSES: Final = 2
_PARTS: Final[Mapping[str, str]] = {"train": "train", "val": "valid", "test": "test"}


class Attn(PreparedProblem):
    """271,915 and 33,989 samples of 6,212 features in two classes, 3.6% of them positive.

    The HDF5 file has the data sets ``X_train``, ``Y_train``, ``X_val``, ``Y_val``, ``X_test`` and
    ``Y_test``, as the published searches read them. Inputs are float32 (mapped where they are that
    and contiguous), targets one-hot float32. As a constant answer is right in 96.4% of the samples,
    the objective is the area under the precision-recall curve, and the loss weighs the classes.

    Args:
        file: the HDF5 file; None looks in the data folder.

    Raises:
        ProblemError: the file is missing, is no HDF5 file, or lacks a data set.
    """

    name: ClassVar[str] = "attn"
    paths: ClassVar[tuple[str, ...]] = ("file",)

    output_shape = (_CLASSES,)
    output_activation = "softmax"
    loss = "categorical_crossentropy"
    metrics = ("accuracy", "auroc", "auc_pr")
    objective = "val_auc_pr"
    epochs = 20
    batch_size = 32
    learning_rate = 1e-3
    schedule = {"name": "reduce-on-plateau", "patience": 5}  # noqa: RUF012
    early_stopping_patience = 10

    class_weights: ClassVar[Mapping[int, float]] = {0: 0.51869, 1: 13.87746}

    def __init__(self, *, file: str | None = None) -> None:
        super().__init__()
        self.file = file

    def _load(self) -> Data:
        arrays: dict[str, Any] = dict(self.prepared.arrays)
        return Data(**arrays, class_weights=self.class_weights)

    def _prepare(self) -> NamedArrays:
        path = self._find_file()
        arrays = self._open(path)
        inputs = [array for name, array in arrays.items() if name[0] == "x"]
        if all(isinstance(array, np.ndarray) for array in inputs):
            return NamedArrays(arrays)
        return cached_arrays([path], _VERSION, {}, lambda: NamedArrays(arrays))

    def _find_file(self) -> Path:
        if self.file is not None:
            return find_file("file", self.file)
        folder = data_folder() / self.name
        for name in ATTN_FILES:
            if (folder / name).is_file():
                return folder / name
        raise ProblemError(
            f"problem {self.name!r} has no data in {folder}: neither {' nor '.join(ATTN_FILES)}; "
            f"get it with `parsl-tl data fetch {self.name}`, make some of the same form with "
            f"`parsl-tl data make {self.name}`, or name it with file=FILE"
        )

    def _open(self, path: Path) -> dict[str, Any]:
        found = open_arrays(path)
        arrays: dict[str, Any] = {}
        for said, part in _PARTS.items():
            x, y = pick_arrays(found, [f"x_{said}", f"y_{said}"], path)
            arrays |= {f"x_{part}": x, f"y_{part}": _one_hot(y, path)}
        return arrays


def _one_hot(y: Any, path: Path) -> Array:
    rows: Array = np.asarray(y)
    if rows.ndim == 2 and rows.shape[1] == _CLASSES:
        return rows.astype(np.float32)
    numbers = rows.reshape(-1).astype(np.int64)
    if len(numbers) != len(rows) or not np.isin(numbers, range(_CLASSES)).all():
        raise ProblemError(
            f"targets of {path} have the shape {rows.shape}; they must be 0 or 1, or one-hot of two"
        )
    one_hot: Array = np.eye(_CLASSES, dtype=np.float32)[numbers]
    return one_hot
