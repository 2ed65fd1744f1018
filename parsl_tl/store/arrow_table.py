"""Tables of models as pyarrow has them, with ids that pandas does not round."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(batches: Iterable[tuple[Any, Any]]) -> pa.Table:
    """Makes a table of record batches, each as the capsules of its schema and its array."""
    import pyarrow as pa

    imported = [pa.RecordBatch._import_from_c_capsule(schema, array) for schema, array in batches]
    return with_exact_ids(pa.Table.from_batches(imported))


def with_exact_ids(table: pa.Table) -> pa.Table:
    """Returns the table with its unsigned 64-bit columns as ``UInt64`` for pandas; no copy.

    pandas makes float64 of an integer column with nulls, and 64-bit ids do not survive that. A
    table may say which type of pandas a column has; ``to_pandas`` and ``read_parquet`` heed it.
    """
    import pyarrow as pa

    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": "uint64",
            "numpy_type": "UInt64",
            "metadata": None,
        }
        for field in table.schema
        if field.type == pa.uint64()
    ]
    described = {"index_columns": [], "column_indexes": [], "columns": columns}
    metadata = {**(table.schema.metadata or {}), b"pandas": json.dumps(described).encode()}
    return table.replace_schema_metadata(metadata)
