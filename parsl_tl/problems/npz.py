"""Arrays in an ``.npz`` file, or in a folder of ``.npy`` files."""

from __future__ import annotations

import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import find_file
from parsl_tl.problems.prepared import PreparedProblem
from parsl_tl.problems.problem import check_count, check_fraction
from parsl_tl.problems.split import split_rows
from parsl_tl.suggestions import did_you_mean

_VERSION: Final = "npz 1"
_NAMES: Final = ("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test")
_TASKS: Final = ("auto", "classification", "regression")


class Npz(PreparedProblem):
    """Arrays ``x_train``, ``y_train`` and, if there are, those of ``valid`` and ``test``.

    Whole numbers as targets, ``(n,)`` or ``(n, 1)``, are class numbers; rows with a single one are
    one-hot classes; everything else is regression, judged by R2. Inputs of bytes (uint8) become
    float32 in [0, 1]; all others stay as they are. Without ``x_valid`` some of the training rows
    are split off, with the share of each class.

    Args:
        file: an ``.npz`` file, or a folder with ``x_train.npy`` and so on, which are mapped.
        validation: share of the training rows to judge by, where there is no ``x_valid``.
        seed: of the split.
        task: ``"auto"``, ``"classification"`` or ``"regression"``.

    Raises:
        ProblemError: an argument is out of range, an array is missing, or cannot be used.
    """

    name: ClassVar[str] = "npz"
    paths: ClassVar[tuple[str, ...]] = ("file",)

    def __init__(
        self, *, file: str, validation: float = 0.2, seed: int = 0, task: str = "auto"
    ) -> None:
        super().__init__()
        path = Path(file).expanduser().absolute()
        self.file = path if path.is_dir() else find_file("file", file)
        self.validation = check_fraction("validation", validation)
        self.seed = check_count("seed", seed, least=0)
        if task not in _TASKS:
            raise ProblemError(f"task is {task!r}; it must be one of {', '.join(_TASKS)}")
        self.task = task

    @cached_property
    def output_shape(self) -> Any:  # type: ignore[override]
        """One output a class, or the shape of a target."""
        y = self.prepared["y_train"]
        if self.loss == "sparse_categorical_crossentropy":
            return (self.prepared.facts["num_classes"],)
        return y.shape[1:] or (1,)

    @cached_property
    def loss(self) -> Any:
        """Cross-entropy for classes, the mean squared error for numbers."""
        return self.prepared.facts["loss"]

    @cached_property
    def output_activation(self) -> Any:  # type: ignore[override]
        """``softmax`` for classes, ``linear`` for numbers."""
        return "linear" if self.loss == "mse" else "softmax"

    @cached_property
    def metrics(self) -> Any:  # type: ignore[override]
        """``accuracy`` for classes, ``r2`` for numbers."""
        return ("r2",) if self.loss == "mse" else ("accuracy",)

    @cached_property
    def objective(self) -> Any:  # type: ignore[override]
        """The metric on validation rows."""
        return f"val_{self.metrics[0]}"

    def _prepare(self) -> NamedArrays:
        if self.file.is_file():
            sources = [self.file]
        else:
            sources = [path for name in _NAMES if (path := self.file / f"{name}.npy").is_file()]
            mapped = self._open()
            if "x_valid" in mapped and mapped["x_train"].dtype != np.uint8:
                return self._described(mapped)
        arguments = {"split": [self.validation, self.seed], "task": self.task}
        return cached_arrays(sources, _VERSION, arguments, self._read)

    def _open(self) -> dict[str, Array]:
        """Reads the arrays of a file, or maps those of a folder."""
        try:
            if self.file.is_dir():
                found = {
                    path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
                    for path in sorted(self.file.glob("*.npy"))
                }
            else:
                with np.load(self.file, allow_pickle=False) as opened:
                    found = {name: opened[name] for name in opened.files}
        except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise ProblemError(f"{self.file} cannot be read: {error}") from error
        named = {
            name.lower().replace("_val", "_valid")
            if name.lower().endswith("_val")
            else name.lower(): array
            for name, array in found.items()
        }
        unknown = [name for name in found if name.lower() not in _NAMES]
        for name in ("x_train", "y_train"):
            if name not in named:
                raise ProblemError(
                    f"{self.file} has no array {name}{did_you_mean(name, unknown)}; it has "
                    f"{', '.join(sorted(found)) or 'none'}"
                )
        arrays: dict[str, Array] = {name: named[name] for name in _NAMES if name in named}
        for name in [one for one in arrays if one[0] == "x"]:
            y_name = f"y{name[1:]}"
            if y_name not in arrays:
                raise ProblemError(f"{self.file} has an array {name}, but no {y_name}")
        return arrays

    def _read(self) -> NamedArrays:
        arrays = self._open()
        for name, array in arrays.items():
            if name[0] == "x" and array.dtype == np.uint8:
                arrays[name] = array.astype(np.float32) / 255
            if array.ndim == 1 and name[0] == "x":
                arrays[name] = arrays[name][:, None]
        described = self._described(arrays)
        if "x_valid" in arrays:
            return described
        x, y = arrays["x_train"], arrays["y_train"]
        if len(x) != len(y):
            raise ProblemError(
                f"{self.file} has {len(x)} rows of x_train and {len(y)} of y_train; give one "
                "target for each row"
            )
        loss = described.facts["loss"]
        classes = None
        if loss != "mse":
            classes = y.argmax(-1) if loss == "categorical_crossentropy" else y.reshape(len(y))
        split = split_rows(len(y), validation=self.validation, seed=self.seed, classes=classes)
        arrays |= {"x_valid": x[split.valid], "y_valid": y[split.valid]}
        arrays |= {"x_train": x[split.train], "y_train": y[split.train]}
        return NamedArrays(arrays, described.facts)

    def _described(self, arrays: dict[str, Array]) -> NamedArrays:
        """Says what the targets are, of all parts together."""
        targets = [array for name, array in arrays.items() if name[0] == "y"]
        y = arrays["y_train"]
        facts: dict[str, Any] = {"loss": "mse"}
        whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
        if y.ndim == 2 and y.shape[1] > 1 and whole and self.task != "regression":
            if bool(((y != 0).sum(axis=1) == 1).all()) and y.max() == 1:
                facts = {"loss": "categorical_crossentropy"}
        elif self.task == "classification" or (self.task == "auto" and y.dtype.kind in "biu"):
            if y.ndim > 2 or not whole or y.min() < 0:
                raise ProblemError(
                    f"y_train of {self.file} has the shape {y.shape} and values from {y.min()}; "
                    "classes are numbered from 0, one number a row"
                )
            facts = {
                "loss": "sparse_categorical_crossentropy",
                "num_classes": int(max(part.max() for part in targets)) + 1,
            }
        return NamedArrays(arrays, facts)
