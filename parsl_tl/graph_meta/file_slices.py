"""Which rank reads which part of which file.

Every rank reads a slice of every file: whole lines of Keras JSON, or rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from parsl_tl.errors import GraphMetaError
from parsl_tl.graph_meta.table_files import is_table, num_rows
from parsl_tl.population.flat_graphs import starts_of

_CHUNK_BYTES: Final = 1 << 22


class FileSlice(NamedTuple):
    """What one rank reads of one file.

    Attributes:
        path: of the file.
        start: first byte of the first line, or number of the first row.
        end: behind the last one.
        first_number: number of its first model, counted over all files from 0.
        first_line: line, or row, of its first model, counted within the file from 1.
        num_models: how many models.
    """

    path: Path
    start: int
    end: int
    first_number: int = 0
    first_line: int = 1
    num_models: int = 0


def plan(
    paths: Sequence[Path], comm: Any, max_models: int | None = None
) -> tuple[list[FileSlice], int]:
    """Divides the files among the ranks; a collective call.

    Lines are counted for this: model ``n`` is the n-th line of all files, however many ranks read
    them, and an error can name its line.

    Args:
        paths: the same on all ranks; their order numbers the models.
        comm: an mpi4py communicator.
        max_models: leaves out the models from this number on.

    Returns:
        The slices of this rank, one per file, and the number of models of all ranks.

    Raises:
        GraphMetaError: a file is missing, unreadable, or no table.
    """
    ends = lengths(paths)
    slices, total = _divide(paths, ends, comm)
    if max_models is None or max_models >= total:
        return slices, total
    own = np.array([_end_of(file_slice, max_models) for file_slice in slices], np.int64)
    limits = np.empty((comm.Get_size(), len(paths)), np.int64)
    comm.Allgather(own, limits)
    return _divide(paths, limits.max(axis=0).tolist(), comm)


def lengths(paths: Sequence[Path]) -> list[int]:
    """Returns the bytes of files of lines, and the rows of tables.

    Raises:
        GraphMetaError: a file is missing, unreadable, or no table.
    """
    found = []
    for path in paths:
        try:
            if is_table(path):
                found.append(num_rows(path))
                continue
            with open(path, "rb"):  # told now, and not when its turn comes
                found.append(path.stat().st_size)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
    return found


def unreadable(path: Path, error: Exception) -> GraphMetaError:
    """Returns the error for a file that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error)
    return GraphMetaError(
        f"{path} cannot be read: {reason}; name files that all nodes see, models_<n>.json with one "
        "Keras JSON per line, or population_<n>.parquet or .arrow"
    )


def _divide(paths: Sequence[Path], ends: Sequence[int], comm: Any) -> tuple[list[FileSlice], int]:
    rank, size = comm.Get_rank(), comm.Get_size()
    parts = []
    for path, end in zip(paths, ends, strict=True):
        first, last = (_align(path, end * part // size, end) for part in (rank, rank + 1))
        parts.append(FileSlice(path, first, last))
    own = np.array([_count(part) for part in parts], np.int64)
    counts = np.empty((size, len(paths)), np.int64)
    comm.Allgather(own, counts)
    before = starts_of(counts.sum(axis=0))  # models in the files before
    lines = counts[:rank].sum(axis=0)  # models of the same file that other ranks read
    slices = [
        part._replace(
            first_number=int(before[i] + lines[i]),
            first_line=int(lines[i]) + 1,
            num_models=int(own[i]),
        )
        for i, part in enumerate(parts)
    ]
    return slices, int(before[-1])


def _align(path: Path, place: int, end: int) -> int:
    """Returns where the next line starts; rows of a table start anywhere."""
    if is_table(path) or place in (0, end):
        return place
    with open(path, "rb") as file:
        file.seek(place - 1)
        file.readline()
        return min(file.tell(), end)


def _count(file_slice: FileSlice) -> int:
    if is_table(file_slice.path):
        return file_slice.end - file_slice.start
    lines, last = 0, b"\n"
    with open(file_slice.path, "rb") as file:
        file.seek(file_slice.start)
        left = file_slice.end - file_slice.start
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")  # the file's last line may have no end


def _end_of(file_slice: FileSlice, max_models: int) -> int:
    """Returns where a slice ends if only the first models are taken; 0 if none of it is."""
    kept = max_models - file_slice.first_number
    if kept <= 0:
        return 0
    if kept >= file_slice.num_models:
        return file_slice.end
    if is_table(file_slice.path):
        return file_slice.start + kept
    with open(file_slice.path, "rb") as file:
        file.seek(file_slice.start)
        for _ in range(kept):
            file.readline()
        return file.tell()
