"""Reads a share of a file, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from parsl_tl.errors import ArchitectureError
from parsl_tl.graph_meta.graph_batch import GraphBatch
from parsl_tl.graph_meta.line_parser import LineParser
from parsl_tl.graph_meta.shares import Share, unreadable
from parsl_tl.graph_meta.table_files import is_table, read_rows

# Reading so many takes some hundredths of a second, in which the rank serves nobody.
_BATCH_LINES: Final = 64
_BUFFER_BYTES: Final = 1 << 20


def read_share(share: Share) -> Iterator[GraphBatch]:
    """Yields the models of a share, some at a time; ids are the models' numbers.

    Raises:
        ArchitectureError: a line, or a row, is no model's; the message names it.
        GraphMetaError: the file cannot be read to its end.
    """
    try:
        if is_table(share.path):
            shift = np.uint64(share.first_number - share.start)
            for batch in read_rows(share.path, share.start, share.end):
                yield replace(batch, ids=batch.ids + shift)
        else:
            yield from _read_lines(share)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(share.path, error) from error


def _read_lines(share: Share) -> Iterator[GraphBatch]:
    parser = LineParser()
    number, last = share.first_number, share.first_line + share.num_models - 1
    with open(share.path, "rb", buffering=_BUFFER_BYTES) as file:
        file.seek(share.start)
        for line in range(share.first_line, last + 1):
            text = file.readline()
            try:
                parser.add(text)
            except ArchitectureError as error:
                raise ArchitectureError(
                    f"{share.path}, line {line}: {_problem(text, error)}"
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
