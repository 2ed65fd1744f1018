"""What a table goes through before a model sees it, kept as JSON and applied to new rows."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array
from parsl_tl.problems.table_columns import Column, ColumnEncoder, cast_like
from parsl_tl.problems.table_file import check_columns, read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_FORMAT: Final = "parsl_tl table preprocessing 1"


class TablePreprocessing:
    """Encodes new rows as those were that a model learned from, and reads its predictions.

    ``CsvTable.preprocessing`` makes one; a search keeps it in ``preprocessing.json``.

    Args:
        facts: as ``facts`` gives them.

    Attributes:
        targets: names of the columns that were learned.
        classes: labels of the class numbers; empty where numbers were learned.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        import pyarrow as pa

        self._facts = dict(facts)
        self.targets: list[str] = list(facts["targets"])
        self.classes: list[str] = list(facts["classes"])
        self._scale = np.array(facts["scale"], np.float64).reshape(-1, 2)
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(facts["schema"])))
        self._like = schema.empty_table()
        self._columns = [Column(**column) for column in facts["used"]]
        self._encoder = ColumnEncoder.from_fitted(self._columns, facts["fitted"])

    @staticmethod
    def facts(
        table: pa.Table,
        encoder: ColumnEncoder,
        targets: Sequence[str],
        classes: Sequence[str],
        scale: Sequence[tuple[float, float]],
    ) -> dict[str, Any]:
        """Returns all there is to know, JSON-able.

        Args:
            table: whose columns have the types that the encoder takes.
            encoder: fitted.
            targets: names of the target columns.
            classes: labels of the class numbers; empty for numbers.
            scale: mean and standard deviation of each target of numbers.
        """
        used = [column.name for column in encoder.columns]
        schema = table.select(used).schema.remove_metadata().serialize().to_pybytes()
        return {
            "targets": list(targets),
            "classes": list(classes),
            "scale": [list(pair) for pair in scale],
            "schema": base64.b64encode(schema).decode("ascii"),
            "used": [column._asdict() for column in encoder.columns],
            "fitted": encoder.fitted(),
        }

    def transform(self, table: pa.Table | pd.DataFrame | str | os.PathLike[str]) -> Array:
        """Encodes rows.

        Args:
            table: of pandas or Arrow, or a file of one; it needs no target columns.

        Returns:
            float32 rows, as models take them.

        Raises:
            ProblemError: a column is missing, or has values of another kind.
        """
        import pyarrow as pa

        where: str | Path = "the table"
        if isinstance(table, str | os.PathLike):
            where = Path(table)
            table = read_table(where)
        elif not isinstance(table, pa.Table):
            table = pa.Table.from_pandas(table, preserve_index=False)
        check_columns([one.name for one in self._columns], table.column_names, "column", where)
        return self._encoder.transform(cast_like(table, self._columns, self._like, where))

    def read_predictions(self, outputs: Array) -> pd.DataFrame:
        """Returns what a model's outputs say, one column for each target.

        Args:
            outputs: ``(rows, classes)`` or ``(rows, targets)``, as ``predict`` gives them.
        """
        import pandas as pd

        if self.classes:
            labels = np.array(self.classes, dtype=object)[np.argmax(outputs, axis=-1)]
            return pd.DataFrame({self.targets[0]: labels})
        means, scales = self._scale.T
        return pd.DataFrame(np.asarray(outputs) * scales + means, columns=self.targets)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as JSON."""
        text = json.dumps({"format": _FORMAT, **self._facts}, indent=1)
        Path(path).write_text(text + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what ``save`` has written.

        Raises:
            ProblemError: the file cannot be read, or holds something else.
        """
        try:
            facts = json.loads(Path(path).read_text())
            if facts.pop("format", None) != _FORMAT:
                raise ValueError(f"it does not say {_FORMAT!r}")
            return cls(facts)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ProblemError(
                f"{os.fspath(path)} is no preprocessing of a table ({error}); a search on the "
                "problem csv writes one as preprocessing.json"
            ) from error
