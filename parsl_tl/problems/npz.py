"""Arrays in an ``.npz`` file, or in a folder of ``.npy`` files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.data import PARTS, Array, Data
from parsl_tl.problems.data_folder import find_file
from parsl_tl.problems.prepared import PreparedProblem
from parsl_tl.problems.problem import check_count, check_fraction
from parsl_tl.problems.split import split_rows
from parsl_tl.spaces.head import Head
from parsl_tl.suggestions import did_you_mean

_VERSION: Final = "npz 2"
_TASKS: Final = ("auto", "classification", "regression")
_SPARSE: Final = "sparse_categorical_crossentropy"
_ONE_HOT: Final = "categorical_crossentropy"


class Npz(PreparedProblem):
    """Arrays ``x_train``, ``y_train`` and, if there are, those of ``valid`` and ``test``.

    Whole numbers as targets, ``(n,)`` or ``(n, 1)``, are class numbers; rows with a single one are
    one-hot classes; everything else is regression, judged by R2. Inputs of bytes (uint8) become
    float32 in [0, 1]; all others stay as they are. Without ``x_valid`` some of the training rows
    are split off, with the share of each class of the first target that has some.

    There may be several inputs and targets: ``inputs=["genes", "drug"], targets=["growth",
    "kind"]`` reads ``genes_train``, ``drug_train``, ``growth_train``, ``kind_train`` and so on.
    Several targets are one head each, and a search minimizes their loss, ``val_loss``.

    Args:
        file: an ``.npz`` file, or a folder with ``x_train.npy`` and so on, which are mapped.
        validation: share of the training rows to judge by, where there is no ``x_valid``.
        seed: of the split.
        task: of every target: ``"auto"``, ``"classification"`` or ``"regression"``.
        inputs: what the arrays of inputs are called before ``_train``; a list, or a text with
            commas.
        targets: likewise.

    Raises:
        ProblemError: an argument is out of range, an array is missing, or cannot be used.
    """

    name: ClassVar[str] = "npz"
    paths: ClassVar[tuple[str, ...]] = ("file",)

    def __init__(
        self,
        *,
        file: str,
        validation: float = 0.2,
        seed: int = 0,
        task: str = "auto",
        inputs: str | Sequence[str] = "x",
        targets: str | Sequence[str] = "y",
    ) -> None:
        super().__init__()
        path = Path(file).expanduser().absolute()
        self.file = path if path.is_dir() else find_file("file", file)
        self.validation = check_fraction("validation", validation)
        self.seed = check_count("seed", seed, least=0)
        if task not in _TASKS:
            raise ProblemError(f"task is {task!r}; it must be one of {', '.join(_TASKS)}")
        self.task = task
        self.inputs, self.targets = _names("inputs", inputs), _names("targets", targets)
        both = set(self.inputs) & set(self.targets)
        if both:
            raise ProblemError(f"{sorted(both)} are inputs and targets; name each array once")

    @cached_property
    def input_shape(self) -> Any:  # type: ignore[override]
        """Shape of one sample; of several inputs by their names."""
        shapes = {name: self.prepared[f"{name}_train"].shape[1:] for name in self.inputs}
        return shapes if len(shapes) > 1 else shapes[self.inputs[0]]

    @cached_property
    def _found_heads(self) -> list[Head]:
        return [self._head(name) for name in self.targets]

    @cached_property
    def heads(self) -> Any:  # type: ignore[override]
        """One output for each target, where there are several."""
        return self._found_heads if len(self._found_heads) > 1 else ()

    @cached_property
    def output_shape(self) -> Any:  # type: ignore[override]
        """One output a class, or the shape of a target."""
        return self._found_heads[0].shape

    @cached_property
    def loss(self) -> Any:
        """Cross-entropy for classes, the mean squared error for numbers."""
        return self._found_heads[0].loss

    @cached_property
    def output_activation(self) -> Any:  # type: ignore[override]
        """``softmax`` for classes, ``linear`` for numbers."""
        return self._found_heads[0].activation

    @cached_property
    def metrics(self) -> Any:  # type: ignore[override]
        """``accuracy`` for classes, ``r2`` for numbers."""
        return self._found_heads[0].metrics

    @cached_property
    def objective(self) -> Any:  # type: ignore[override]
        """The metric on validation rows; the loss, where there are several targets."""
        return "-val_loss" if len(self.targets) > 1 else f"val_{self.metrics[0]}"

    def _head(self, name: str) -> Head:
        known = self.prepared.facts[name]
        shape = self.prepared[f"{name}_train"].shape[1:] or (1,)
        if known["loss"] == "mse":
            return Head(name=name, shape=shape, loss="mse", metrics=("r2",))
        if known["loss"] == _SPARSE:
            shape = (known["num_classes"],)
        return Head(
            name=name,
            shape=shape,
            activation="softmax",
            loss=known["loss"],
            metrics=("accuracy",),
        )

    def _load(self) -> Data:
        given: dict[str, Any] = {}
        for part in PARTS:
            for side, names in (("x", self.inputs), ("y", self.targets)):
                arrays = {name: self.prepared.get(f"{name}_{part}") for name in names}
                if arrays[names[0]] is not None:
                    given[f"{side}_{part}"] = arrays if len(names) > 1 else arrays[names[0]]
        return Data(**given)

    def _array_names(self, part: str) -> list[str]:
        return [f"{name}_{part}" for name in (*self.inputs, *self.targets)]

    def _prepare(self) -> NamedArrays:
        if self.file.is_file():
            sources = [self.file]
        else:
            sources = sorted(self.file.glob("*.npy"))
            mapped = self._open()
            of_bytes = any(mapped[f"{name}_train"].dtype == np.uint8 for name in self.inputs)
            if self._array_names("valid")[0] in mapped and not of_bytes:
                return self._described(mapped)
        arguments = {
            "split": [self.validation, self.seed],
            "task": self.task,
            "names": [self.inputs, self.targets],
        }
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
        named = {_as_named(name): array for name, array in found.items()}
        arrays: dict[str, Array] = {}
        for part in PARTS:
            names = self._array_names(part)
            there = [name for name in names if name.lower() in named]
            if part != "train" and not there:
                continue
            for name in names:
                if name not in there:
                    raise ProblemError(self._missing(name, there, found))
                arrays[name] = named[name.lower()]
        return {
            name: array[:, None] if array.ndim == 1 and self._is_input(name) else array
            for name, array in arrays.items()
        }

    def _is_input(self, array_name: str) -> bool:
        return array_name.rpartition("_")[0] in self.inputs

    def _missing(self, name: str, there: Sequence[str], found: Mapping[str, Array]) -> str:
        if there and not name.endswith("_train"):
            return f"{self.file} has an array {there[0]}, but no {name}"
        known = {known for part in PARTS for known in self._array_names(part)}
        unknown = [other for other in found if _as_named(other) not in known]
        return (
            f"{self.file} has no array {name}{did_you_mean(name, unknown)}; it has "
            f"{', '.join(sorted(found)) or 'none'}; say inputs= and targets= if they are called "
            "otherwise"
        )

    def _read(self) -> NamedArrays:
        arrays = self._open()
        for name, array in arrays.items():
            if self._is_input(name) and array.dtype == np.uint8:
                arrays[name] = array.astype(np.float32) / 255
        described = self._described(arrays)
        train, valid = self._array_names("train"), self._array_names("valid")
        if valid[0] in arrays:
            return described
        rows = len(arrays[train[-1]])
        for name in train:
            if len(arrays[name]) != rows:
                raise ProblemError(
                    f"{self.file} has {len(arrays[name])} rows of {name} and {rows} of "
                    f"{train[-1]}; give one target for each row"
                )
        split = split_rows(
            rows, validation=self.validation, seed=self.seed, classes=self._classes(described)
        )
        for kept, taken in zip(train, valid, strict=True):
            whole = arrays[kept]
            arrays |= {kept: whole[split.train], taken: whole[split.valid]}
        return NamedArrays(arrays, described.facts)

    def _classes(self, described: NamedArrays) -> Array | None:
        """Returns the class of each training row, by the first target that has classes."""
        for name in self.targets:
            y, loss = described[f"{name}_train"], described.facts[name]["loss"]
            if loss != "mse":
                return y.argmax(-1) if loss == _ONE_HOT else y.reshape(len(y))
        return None

    def _described(self, arrays: dict[str, Array]) -> NamedArrays:
        """Says what each target is, of all parts together."""
        facts = {}
        for name in self.targets:
            parts = [arrays[key] for part in PARTS if (key := f"{name}_{part}") in arrays]
            facts[name] = self._describe(name, parts)
        return NamedArrays(arrays, facts)

    def _describe(self, name: str, parts: Sequence[Array]) -> dict[str, Any]:
        y = parts[0]
        whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
        if y.ndim == 2 and y.shape[1] > 1 and whole and self.task != "regression":
            if bool(((y != 0).sum(axis=1) == 1).all()) and y.max() == 1:
                return {"loss": _ONE_HOT}
        elif self.task == "classification" or (self.task == "auto" and y.dtype.kind in "biu"):
            if y.ndim > 2 or not whole or y.min() < 0:
                raise ProblemError(
                    f"{name}_train of {self.file} has the shape {y.shape} and values from "
                    f"{y.min()}; classes are numbered from 0, one number a row"
                )
            return {"loss": _SPARSE, "num_classes": int(max(part.max() for part in parts)) + 1}
        return {"loss": "mse"}


def _names(argument: str, given: str | Sequence[str]) -> list[str]:
    names = given.split(",") if isinstance(given, str) else list(given)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ProblemError(f"{argument} is {given!r}; give names, such as {argument}=first,second")
    if len(set(names)) < len(names):
        raise ProblemError(f"{argument} is {given!r}; name each array once")
    return names


def _as_named(name: str) -> str:
    """Returns the name of an array in small letters, with ``_valid`` for ``_val``."""
    name = name.lower()
    return f"{name}id" if name.endswith("_val") else name
