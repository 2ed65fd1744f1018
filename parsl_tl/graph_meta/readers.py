"""Reads a slice of a file, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from parsl_tl.errors import ArchitectureError
from parsl_tl.graph_meta.file_slices import FileSlice, unreadable
from parsl_tl.graph_meta.graph_batch import GraphBatch
from parsl_tl.graph_meta.line_parser import LineParser
from parsl_tl.graph_meta.table_files import is_table, read_rows

# Reading this number takes some hundredths of a second, in which the rank serves nobody.
_BATCH_LINES: Final = 64
_BUFFER_BYTES: Final = 1 << 20


def read_slice(file_slice: FileSlice) -> Iterator[GraphBatch]:
    """Yields the models of a slice, some at a time; ids are the models' numbers.

    Raises:
        ArchitectureError: a line, or a row, is no model's; the message names it.
        GraphMetaError: the file cannot be read to its end.
    """
    try:
        if is_table(file_slice.path):
            shift = np.uint64(file_slice.first_number - file_slice.start)
            for batch in read_rows(file_slice.path, file_slice.start, file_slice.end):
                yield replace(batch, ids=batch.ids + shift)
        else:
            yield from _read_lines(file_slice)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(file_slice.path, error) from error


def _read_lines(file_slice: FileSlice) -> Iterator[GraphBatch]:
    parser = LineParser()
    number, last = file_slice.first_number, file_slice.first_line + file_slice.num_models - 1
    with open(file_slice.path, "rb", buffering=_BUFFER_BYTES) as file:
        file.seek(file_slice.start)
        for line in range(file_slice.first_line, last + 1):
            text = file.readline()
            try:
                parser.add(text)
            except ArchitectureError as error:
                raise ArchitectureError(
                    f"{file_slice.path}, line {line}: {_problem(text, error)}"
                ) from error
            if len(parser) == _BATCH_LINES or line == last:
                ids = np.arange(number, number + len(parser), dtype=np.uint64)
                number += len(parser)
                yield parser.take(ids)


def _problem(text: bytes, error: ArchitectureError) -> str:
    if not text.strip():
        return "it is empty; write one Keras JSON per line, without gaps"
    if not text.endswith(b"\n") and "not JSON" in str(error):
        return f"the file ends within it, after {len(text)} bytes: it was truncated; write it anew"
    remedy = "" if "to_json" in str(error) else "; write the line anew with model.to_json()"
    return f"{error}{remedy}"
