"""Any table of a file: CSV, Parquet, Arrow or Feather, with one column that is to be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import find_file
from parsl_tl.problems.prepared import PreparedProblem
from parsl_tl.problems.problem import check_count, check_fraction
from parsl_tl.problems.split import split_rows
from parsl_tl.problems.table_columns import (
    Column,
    ColumnEncoder,
    cast_like,
    describe_column,
    keep_column,
    plain,
)
from parsl_tl.problems.table_file import check_columns, read_table
from parsl_tl.problems.table_preprocessing import TablePreprocessing
from parsl_tl.problems.table_target import (
    TASKS,
    Target,
    choose_task,
    number_classes,
    read_classes,
    read_numbers,
)

if TYPE_CHECKING:
    import pyarrow as pa

_VERSION: Final = "csv 2"
_USED: Final = frozenset({"number", "boolean", "category", "date"})


class CsvTable(PreparedProblem):
    """A column of a table, learned from the others.

    Classes are split so that every part has its share of each, and are judged by accuracy; numbers
    are normalized and judged by R2. What becomes of each column is fitted on training rows alone
    and told by ``data_table``: see ``parsl_tl.problems.table_columns.ColumnEncoder``. Rows without
    a target are left out.

    Args:
        file: the table: ``.parquet``, ``.feather``, ``.arrow``, or else CSV, packed or not.
        target: the column to learn, or a list of several with numbers.
        test: a second file, or a share of the rows, that a search never sees.
        validation: share of the rows to judge by.
        seed: of the split.
        task: ``"classification"``, ``"regression"``, or ``"auto"``: texts, booleans and few whole
            numbers are classes.
        drop: columns to leave out.
        keep: columns to use although they look like ids or texts: whole numbers as numbers, texts
            as categories.
        max_categories: values of a column of texts that are told apart, at most; the others are
            one.

    Raises:
        ProblemError: an argument is out of range, a file is missing or no table, a column is not
            there, or the target cannot be learned.
    """

    name: ClassVar[str] = "csv"
    paths: ClassVar[tuple[str, ...]] = ("file", "test")

    epochs = 10
    batch_size = 32
    learning_rate = 2e-3

    def __init__(
        self,
        *,
        file: str,
        target: str | int | Sequence[str | int],
        test: str | float | None = None,
        validation: float = 0.2,
        seed: int = 0,
        task: str = "auto",
        drop: str | int | Sequence[str | int] = (),
        keep: str | int | Sequence[str | int] = (),
        max_categories: int = 20,
    ) -> None:
        super().__init__()
        self.file = find_file("file", str(file))
        self.test = find_file("test", test) if isinstance(test, str) else test
        if isinstance(self.test, int | float):
            check_fraction("test", self.test)
        self.target = _names(target)
        self.drop, self.keep = _names(drop), _names(keep)
        if both := set(self.keep) & {*self.drop, *self.target}:
            raise ProblemError(f"{sorted(both)} of keep are in drop or target, too; choose one")
        self.validation = check_fraction("validation", validation)
        self.seed = check_count("seed", seed, least=0)
        self.max_categories = check_count("max_categories", max_categories, least=2)
        if task not in TASKS:
            raise ProblemError(f"task is {task!r}; it must be one of {', '.join(TASKS)}")
        self.task = task
        if not self.target or (task == "classification" and len(self.target) > 1):
            raise ProblemError(f"target is {target!r}; name one column, or several with numbers")

    @property
    def classes(self) -> list[str]:
        """Labels of the class numbers; empty where numbers are learned."""
        return list(self.prepared.facts["classes"])

    @property
    def target_scale(self) -> list[tuple[float, float]]:
        """Mean and standard deviation of each target of numbers, by which it was normalized."""
        return [(mean, scale) for mean, scale in self.prepared.facts["scale"]]

    @cached_property
    def output_shape(self) -> Any:  # type: ignore[override]
        """One output a class, or one a target."""
        return (len(self.classes) or len(self.target),)

    @cached_property
    def output_activation(self) -> Any:  # type: ignore[override]
        """``softmax`` for classes, ``linear`` for numbers."""
        return self._recipe["output_activation"]

    @cached_property
    def loss(self) -> Any:
        """Cross-entropy for classes, the mean squared error for numbers."""
        return self._recipe["loss"]

    @cached_property
    def metrics(self) -> Any:  # type: ignore[override]
        """``accuracy`` for classes, ``r2`` for numbers."""
        return (self._recipe["metric"],)

    @cached_property
    def objective(self) -> Any:  # type: ignore[override]
        """The metric on validation rows."""
        return f"val_{self._recipe['metric']}"

    def preprocessing(self) -> TablePreprocessing:
        """Returns what encodes new rows as the model's own were."""
        return TablePreprocessing(self.prepared.facts["preprocessing"])

    def data_table(self) -> pa.Table | None:
        """Returns one row a column: what it is, how often it is missing, what is made of it."""
        import pyarrow as pa

        return pa.Table.from_pylist([dict(row) for row in self.prepared.facts["columns"]])

    @property
    def _recipe(self) -> Mapping[str, str]:
        if self.classes:
            return {
                "output_activation": "softmax",
                "loss": "sparse_categorical_crossentropy",
                "metric": "accuracy",
            }
        return {"output_activation": "linear", "loss": "mse", "metric": "r2"}

    def _prepare(self) -> NamedArrays:
        arguments = {
            "target": self.target,
            "test": str(self.test),
            "validation": self.validation,
            "seed": self.seed,
            "task": self.task,
            "drop": self.drop,
            "keep": self.keep,
            "max_categories": self.max_categories,
        }
        sources = [self.file, *([self.test] if isinstance(self.test, Path) else [])]
        return cached_arrays(sources, _VERSION, arguments, self._read)

    def _read(self) -> NamedArrays:
        table = read_table(self.file)
        check_columns(self.target, table.column_names, "target", self.file)
        check_columns(self.drop, table.column_names, "drop", self.file)
        check_columns(self.keep, table.column_names, "keep", self.file)
        table, left_out = _with_targets(table, self.target, self.file)
        task = choose_task(table, self.target, self.task)
        if task == "classification":
            target = read_classes(table, self.target[0], self.file)
        else:
            target = read_numbers(table, self.target, self.file)
        split = split_rows(
            table.num_rows,
            validation=self.validation,
            test=self.test if isinstance(self.test, float) else None,
            seed=self.seed,
            classes=target.values if target.classes else None,
        )
        features = [name for name in table.column_names if name not in self.target]
        table = table.select(features)
        for index, name in enumerate(features):
            table = table.set_column(index, name, plain(table[name]))
        columns, encoder, x = self._encode(table, split.train)
        parts = {"x_train": x[split.train], "x_valid": x[split.valid]}
        y, scale = _scaled(target, split.train)
        parts |= {"y_train": y[split.train], "y_valid": y[split.valid]}
        if len(split.test):
            parts |= {"x_test": x[split.test], "y_test": y[split.test]}
        elif isinstance(self.test, Path):
            parts |= self._read_test(table, target, scale, columns, encoder)
        facts = {
            "classes": target.classes,
            "scale": scale,
            "preprocessing": TablePreprocessing.facts(
                table, encoder, self.target, target.classes, scale
            ),
            "columns": [
                *self._tell_target(task, target, scale, left_out),
                *_tell(columns, encoder),
            ],
        }
        return NamedArrays(parts, facts)

    def _encode(self, table: pa.Table, train: Array) -> tuple[list[Column], ColumnEncoder, Array]:
        train_table = table.take(train)
        columns = [
            Column(name, "dropped", 0, "by drop")
            if name in self.drop
            else describe_column(name, train_table[name], table[name])
            for name in table.column_names
        ]
        columns = [
            keep_column(column, train_table[column.name]) if column.name in self.keep else column
            for column in columns
        ]
        used = [column for column in columns if column.kind in _USED]
        if not used:
            why = "; ".join(f"{column.name}: {column.reason}" for column in columns)
            raise ProblemError(f"no column of {self.file} is left to learn from ({why})")
        encoder = ColumnEncoder(used, self.max_categories).fit(train_table)
        return columns, encoder, encoder.transform(table)

    def _read_test(
        self,
        table: pa.Table,
        target: Target,
        scale: list[tuple[float, float]],
        columns: list[Column],
        encoder: ColumnEncoder,
    ) -> dict[str, Array]:
        path = self.test
        assert isinstance(path, Path)
        used = [column for column in columns if column.kind in _USED]
        other = read_table(path)
        check_columns(
            [*self.target, *(column.name for column in used)], other.column_names, "column", path
        )
        other, _ = _with_targets(other, self.target, path)
        if target.classes:
            y = number_classes(other, self.target[0], target.classes, path)
        else:
            means, scales = np.array(scale).T
            numbers = read_numbers(other, self.target, path, varied=False).values
            y = ((numbers - means) / scales).astype(np.float32)
        return {"x_test": encoder.transform(cast_like(other, used, table, path)), "y_test": y}

    def _tell_target(
        self, task: str, target: Target, scale: list[tuple[float, float]], left_out: int
    ) -> list[dict[str, Any]]:
        rows = f"; {left_out} rows without it are left out" if left_out else ""
        if target.classes:
            shown = ", ".join(target.classes[:4]) + (", ..." if len(target.classes) > 4 else "")
            told = [f"{len(target.classes)} classes ({shown})"]
        else:
            told = [f"normalized: mean {mean:.6g}, scale {size:.6g}" for mean, size in scale]
        return [
            {"column": name, "kind": f"target, {task}", "missing": left_out, "use": f"{use}{rows}"}
            for name, use in zip(self.target, told, strict=True)
        ]


def _names(value: str | int | Sequence[str | int]) -> list[str]:
    return [str(value)] if isinstance(value, str | int) else [str(name) for name in value]


def _with_targets(table: pa.Table, names: list[str], path: Path) -> tuple[pa.Table, int]:
    """Returns the rows that have all targets, and the number of those that have not."""
    import functools

    import pyarrow.compute as pc

    has = functools.reduce(pc.and_, (pc.is_valid(plain(table[name])) for name in names))
    kept = table.filter(has)
    if kept.num_rows == 0:
        raise ProblemError(f"no row of {path} has a value of target {', '.join(names)}")
    return kept, table.num_rows - kept.num_rows


def _scaled(target: Target, train: Array) -> tuple[Array, list[tuple[float, float]]]:
    """Normalizes targets of numbers by the training rows; class numbers stay as they are."""
    from sklearn.preprocessing import StandardScaler

    if target.classes:
        return target.values, []
    scaler = StandardScaler().fit(target.values[train])
    scale = list(zip(scaler.mean_.tolist(), scaler.scale_.tolist(), strict=True))
    return scaler.transform(target.values).astype(np.float32), scale


def _tell(columns: list[Column], encoder: ColumnEncoder) -> list[dict[str, Any]]:
    explained = encoder.explain()
    return [
        {
            "column": column.name,
            "kind": column.kind,
            "missing": column.missing,
            "use": explained.get(column.name) or f"left out: {column.reason}",
        }
        for column in columns
    ]
