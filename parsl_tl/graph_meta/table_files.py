"""Populations as tables of prefix hashes and edges: ``population_<n>.parquet`` or ``.arrow``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parsl_tl.architecture.prefix import HASH_SCHEME
from parsl_tl.errors import ArchitectureError, GraphMetaError
from parsl_tl.graph_meta.graph_batch import GraphBatch
from parsl_tl.native import native
from parsl_tl.population.part_files import has_current_hashes

_COLUMNS: Final = ("prefix_hashes", "edge_sources", "edge_targets")
_BATCH_ROWS: Final = 4096
# A number of rows, and what reads them.
_Piece = tuple[int, Callable[[], pa.Table]]


def is_table(path: Path) -> bool:
    """Returns whether a file is a table of hashes, and not Keras JSON."""
    return path.suffix in (".parquet", ".arrow")


def num_rows(path: Path) -> int:
    """Returns the number of models in a table.

    Raises:
        OSError, pa.ArrowException: it is missing, or no such file.
        GraphMetaError: it lacks a column, or its hashes are of another scheme.
    """
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        _check_columns(path, file.schema_arrow)
        return int(file.metadata.num_rows)
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        _check_columns(path, reader.schema)
        return sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))


def read_rows(path: Path, first: int, end: int) -> Iterator[GraphBatch]:
    """Yields the models of some rows, some at a time, with the rows as their ids.

    Tables hold no digests of layers alone; prefix hashes stand in for them.

    Raises:
        ArchitectureError: a row is no graph.
        OSError, pa.ArrowException: the file cannot be read.
    """
    row = first
    for table in _cut(_pieces(path), first, end):
        ids = np.arange(row, row + len(table), dtype=np.uint64)
        row += len(table)
        layer_starts, hashes = _lists(path, table, _COLUMNS[0], np.uint64)
        edge_starts, sources = _lists(path, table, _COLUMNS[1], np.uint32)
        target_starts, targets = _lists(path, table, _COLUMNS[2], np.uint32)
        wrong = np.diff(edge_starts) != np.diff(target_starts)
        if not wrong.any():
            wrong = _are_wrong(layer_starts, edge_starts, sources, targets)
        if wrong.any():
            raise ArchitectureError(
                f"{path}, row {int(ids[np.argmax(wrong)]) + 1}: its layers and edges form no "
                "graph; write the file anew"
            )
        keys = native.layer_keys(layer_starts, hashes)
        edges = np.stack([sources, targets], axis=1)
        yield GraphBatch(ids, np.zeros(len(ids)), layer_starts, keys, hashes, edge_starts, edges)


def _are_wrong(
    layer_starts: NDArray[np.int64],
    edge_starts: NDArray[np.int64],
    sources: NDArray[np.uint32],
    targets: NDArray[np.uint32],
) -> NDArray[np.bool_]:
    """Returns which graphs have no layers, or edges that are not from a layer to a later one."""
    layers, counts = np.diff(layer_starts), np.diff(edge_starts)
    outside = (targets >= np.repeat(layers, counts)) | (sources >= targets)
    graph = np.repeat(np.arange(len(layers)), counts)
    wrong: NDArray[np.bool_] = layers == 0
    wrong[graph[outside]] = True
    return wrong


def _check_columns(path: Path, schema: pa.Schema) -> None:
    missing = [name for name in _COLUMNS if name not in schema.names]
    if missing:
        raise GraphMetaError(
            f"{path} has no column {missing[0]!r}, but {', '.join(schema.names)}; name a "
            "population_<n> file"
        )
    if not has_current_hashes(schema):
        raise GraphMetaError(
            f"{path} holds layer hashes of another release, or does not say of which (scheme "
            f"{HASH_SCHEME} is needed); write the population anew with apps/gen_models_with_pop.py"
        )


def _pieces(path: Path) -> Iterator[_Piece]:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            yield count, partial(file.read_row_group, group, list(_COLUMNS))
        return
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            yield batch.num_rows, partial(pa.Table.from_batches, [batch])


def _cut(pieces: Iterable[_Piece], first: int, end: int) -> Iterator[pa.Table]:
    place = 0
    for count, read in pieces:
        low, high = max(first, place), min(end, place + count)
        if low < high:
            table = read().slice(low - place, high - low)
            for start in range(0, len(table), _BATCH_ROWS):
                yield table.slice(start, _BATCH_ROWS)
        place += count


def _lists(
    path: Path, table: pa.Table, name: str, dtype: type[np.generic]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Returns the starts and the items of a column of lists."""
    array = table[name].combine_chunks()
    if array.null_count or not pa.types.is_list(array.type):
        raise GraphMetaError(
            f"column {name!r} of {path} is of type {array.type}, and not of lists without gaps; "
            "name a population_<n> file"
        )
    starts = np.asarray(array.offsets, np.int64)
    return starts - starts[0], np.asarray(array.flatten()).astype(dtype)
