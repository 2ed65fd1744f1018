"""What becomes of the columns of a table: numbers that a model computes with, or nothing.

Everything is fitted on training rows alone; only whether a column numbers the rows is looked up in
all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array

if TYPE_CHECKING:
    import pyarrow as pa

MISSING: Final = "(missing)"

# With fewer values than this, nothing is concluded from all of them being different.
_LEAST_DISTINCT: Final = 20
_RARE_SHARE: Final = 0.001
_ID_NAME: Final = re.compile(r"(^|[_ ])(id|uuid|guid|index|key)$|^$|^unnamed: 0$", re.IGNORECASE)


class Column(NamedTuple):
    """A column, and what is made of it.

    Attributes:
        name: in the table.
        kind: ``number``, ``boolean``, ``category``, ``date``; ``constant``, ``empty``, ``id``,
            ``text`` or ``nested`` is left out.
        missing: rows without a value, of the training rows.
        reason: why it is left out; empty for one that is used.
    """

    name: str
    kind: str
    missing: int
    reason: str = ""


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns values with one type for each kind of thing; NaN and infinite become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        values = values.cast(pa.float64())
    elif pa.types.is_time(kind) or pa.types.is_duration(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        values = values.cast(width).cast(pa.float64())
    elif pa.types.is_large_string(kind) or str(kind) == "string_view":
        values = values.cast(pa.string())
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, None)
    return values


def keep_column(column: Column, train: pa.ChunkedArray) -> Column:
    """Returns a column that is used although it looks like an id, or like text.

    Args:
        column: as ``describe_column`` returns it.
        train: its values in the training rows.

    Raises:
        ProblemError: nothing can be made of it.
    """
    import pyarrow as pa

    if not column.reason:
        return column
    if column.kind not in ("id", "text"):
        raise ProblemError(
            f"column {column.name!r} of keep cannot be used: {column.reason}; leave it out"
        )
    kind = "category" if pa.types.is_string(train.type) else "number"
    return Column(column.name, kind, column.missing)


def describe_column(name: str, train: pa.ChunkedArray, every: pa.ChunkedArray) -> Column:
    """Decides what a column is.

    Args:
        name: of the column.
        train: its values in the training rows, as ``plain`` returns them.
        every: those in all rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, missing = train.type, train.null_count
    valid = train.drop_null()
    if pa.types.is_null(kind) or len(valid) == 0:
        return Column(name, "empty", missing, "no training row has a value")
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Column(name, "nested", missing, f"values of type {kind} are not used")
    is_text = pa.types.is_string(kind)
    if pc.count_distinct(valid).as_py() == 1 and not (is_text and missing):
        return Column(name, "constant", missing, f"always {valid[0].as_py()!r}")
    if is_text:
        return _describe_strings(name, valid, missing)
    if pa.types.is_boolean(kind):
        return Column(name, "boolean", missing)
    if pa.types.is_integer(kind):
        if _numbers_rows(name, every):
            return Column(name, "id", missing, "numbers the rows")
        return Column(name, "number", missing)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return Column(name, "date", missing)
    if pa.types.is_floating(kind):
        return Column(name, "number", missing)
    return Column(name, "nested", missing, f"values of type {kind} are not used")


def _describe_strings(name: str, valid: pa.ChunkedArray, missing: int) -> Column:
    import pyarrow.compute as pc

    distinct = pc.count_distinct(valid).as_py()
    words = pc.mean(pc.count_substring(pc.utf8_trim_whitespace(valid), " ")).as_py() + 1
    if distinct >= _LEAST_DISTINCT:
        if words >= 5 or (distinct > 0.9 * len(valid) and words >= 3):
            return Column(name, "text", missing, f"text of {words:.0f} words; encode it first")
        if distinct > 0.9 * len(valid):
            return Column(name, "id", missing, "names the rows: nearly all values differ")
    return Column(name, "category", missing)


def _numbers_rows(name: str, every: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    valid = every.drop_null()
    if len(valid) < _LEAST_DISTINCT or pc.count_distinct(valid).as_py() < len(valid):
        return False
    ends = pc.min_max(valid).as_py()
    return ends["max"] - ends["min"] == len(valid) - 1 or bool(_ID_NAME.search(name))


class ColumnEncoder:
    """Makes one row of numbers of each row of a table.

    Numbers and dates (days since 1970, month, day of the week, hour) get the median where they are
    missing, and are normalized; booleans and categories are one-hot, where missing is a category,
    and rare ones share one with those that no training row has.

    Args:
        columns: those that are used.
        max_categories: columns of numbers that one category column becomes, at most.

    Attributes:
        columns: as given.
    """

    def __init__(self, columns: list[Column], max_categories: int = 0) -> None:
        self.columns = columns
        self._max_categories = max_categories
        # One row each: median, mean and scale of every column of numbers.
        self._numbers: Array = np.empty((3, 0))
        # Of every category column: the values that are told apart, and those that are rare.
        self._frequent: list[list[str]] = []
        self._rare: list[list[str]] = []

    @classmethod
    def from_fitted(cls, columns: list[Column], fitted: Mapping[str, Any]) -> Self:
        """Returns the encoder that ``fitted`` is of."""
        encoder = cls(columns)
        encoder._numbers = np.array(fitted["numbers"], np.float64).reshape(3, -1)
        encoder._frequent = [list(values) for values in fitted["frequent"]]
        encoder._rare = [list(values) for values in fitted["rare"]]
        return encoder

    def fitted(self) -> dict[str, Any]:
        """Returns what was learned from the training rows, JSON-able."""
        return {
            "numbers": self._numbers.tolist(),
            "frequent": self._frequent,
            "rare": self._rare,
        }

    def fit(self, train: pa.Table) -> Self:
        """Learns medians, scales and categories of the training rows."""
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers, categories = self._number_rows(train), self._category_rows(train)
        if numbers.shape[1]:
            imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
            scaler = StandardScaler().fit(imputer.transform(numbers))
            self._numbers = np.stack([imputer.statistics_, scaler.mean_, scaler.scale_])
        if categories.shape[1]:
            one_hot = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=max(2, round(_RARE_SHARE * train.num_rows)),
                max_categories=self._max_categories,
            ).fit(categories)
            self._rare = [
                [] if rare is None else rare.tolist() for rare in one_hot.infrequent_categories_
            ]
            self._frequent = [
                [value for value in values.tolist() if value not in rare]
                for values, rare in zip(one_hot.categories_, self._rare, strict=True)
            ]
        return self

    def transform(self, table: pa.Table) -> Array:
        """Returns float32 rows."""
        medians, means, scales = self._numbers
        numbers = self._number_rows(table)
        numbers = np.where(np.isnan(numbers), medians, numbers)
        parts = [((numbers - means) / scales).astype(np.float32)]
        rows = self._category_rows(table)
        for column, (frequent, rare) in enumerate(zip(self._frequent, self._rare, strict=True)):
            # What no training row has is rare, too; where nothing is, it is none of all.
            places = {value: place for place, value in enumerate(frequent)}
            found = [places.get(value, len(frequent)) for value in rows[:, column]]
            one_hot = np.eye(len(frequent) + 1, dtype=np.float32)[found]
            parts.append(one_hot if rare else one_hot[:, :-1])
        return np.hstack(parts)

    def explain(self) -> dict[str, str]:
        """Returns what is made of each column, for people."""
        told = {}
        for column in self.columns:
            filled = "; the median where missing" if column.missing else ""
            if column.kind == "number":
                told[column.name] = f"normalized{filled}"
            elif column.kind == "date":
                told[column.name] = f"days, month, weekday, hour; normalized{filled}"
        names = self._names("boolean", "category")
        for name, kept, rare in zip(names, self._frequent, self._rare, strict=True):
            shown = ", ".join(kept[:4]) + (", ..." if len(kept) > 4 else "")
            others = f" and one for {len(rare)} rare" if rare else ""
            told[name] = f"one-hot of {len(kept)} ({shown}){others}"
        return told

    def _names(self, *kinds: str) -> list[str]:
        return [column.name for column in self.columns if column.kind in kinds]

    def _number_rows(self, table: pa.Table) -> Array:
        columns = [as_floats(table[name]) for name in self._names("number")]
        for name in self._names("date"):
            columns.extend(_date_parts(table[name]))
        return np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0))

    def _category_rows(self, table: pa.Table) -> Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = np.empty((table.num_rows, len(self._names("boolean", "category"))), dtype=object)
        for index, name in enumerate(self._names("boolean", "category")):
            rows[:, index] = pc.fill_null(table[name].cast(pa.string()), MISSING).to_pylist()
        return rows


def as_floats(values: pa.ChunkedArray) -> Array:
    """Returns float64 numbers, NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    floats = values.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(floats, float("nan")).to_numpy(), np.float64)


def _date_parts(values: pa.ChunkedArray) -> list[Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    stamps = values.cast(pa.timestamp("us", tz=getattr(values.type, "tz", None)), safe=False)
    days = as_floats(stamps.cast(pa.int64())) / 86_400e6
    parts = (pc.month(stamps), pc.day_of_week(stamps), pc.hour(stamps))
    return [days, *map(as_floats, parts)]


def cast_like(table: pa.Table, columns: list[Column], like: pa.Table, path: Any) -> pa.Table:
    """Gives the columns of another file the types of the first.

    Raises:
        ProblemError: values of a column cannot be of that type.
    """
    import pyarrow as pa

    cast = {}
    for column in columns:
        try:
            cast[column.name] = plain(table[column.name]).cast(like[column.name].type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ProblemError(
                f"column {column.name!r} of {path} has values of another kind than in the first "
                f"file ({like[column.name].type}): {error}"
            ) from error
    return pa.table(cast)
