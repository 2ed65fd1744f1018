"""Matrices of numbers in CSV files with tens of thousands of columns and no line of names.

Readers of tables make an array of each column, which for 60,000 of them takes longer than the
numbers do. Here all numbers of a piece of the file are one column, which is the matrix's rows in
their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array

if TYPE_CHECKING:
    import pyarrow as pa

_PIECE_BYTES: Final = 1 << 25
_ONE_COLUMN: Final = bytes.maketrans(b",", b"\n")


def read_matrix(path: Path) -> Array:
    """Reads a matrix.

    Args:
        path: of a CSV file, packed or not; every line has equally many numbers.

    Returns:
        float32, one row a line.

    Raises:
        ProblemError: a line has another number of fields, or a field is no number.
    """
    import pyarrow as pa

    pieces: list[Array] = []
    width = 0
    try:
        with pa.input_stream(str(path)) as stream:
            for number, lines in _line_pieces(stream):
                width = width or lines[0].count(b",") + 1
                _check_widths(path, number, lines, width)
                pieces.append(_read_numbers(b"\n".join(lines)).reshape(len(lines), width))
    except (pa.ArrowException, OSError) as error:
        raise ProblemError(f"{path} cannot be read as a matrix of numbers: {error}") from error
    if not pieces:
        raise ProblemError(f"{path} is empty")
    matrix = np.empty((sum(map(len, pieces)), width), np.float32)
    row = 0
    pieces.reverse()
    while pieces:  # each is freed as soon as it is copied
        piece = pieces.pop()
        matrix[row : row + len(piece)] = piece
        row += len(piece)
    return matrix


def _line_pieces(stream: pa.NativeFile) -> Iterator[tuple[int, list[bytes]]]:
    """Yields whole lines, some megabytes at a time, with the number of the first of them."""
    rest, number = b"", 1
    while block := stream.read(_PIECE_BYTES):
        *lines, rest = (rest + block).replace(b"\r", b"").split(b"\n")
        if lines:
            yield number, lines
            number += len(lines)
    if rest.strip():
        yield number, [rest]


def _check_widths(path: Path, number: int, lines: list[bytes], width: int) -> None:
    for offset, line in enumerate(lines):
        if (found := line.count(b",") + 1) != width:
            raise ProblemError(
                f"line {number + offset} of {path} has {found} fields, the first has {width}"
            )


def _read_numbers(text: bytes) -> Array:
    import pyarrow as pa
    from pyarrow import csv

    table = csv.read_csv(
        pa.py_buffer(text.translate(_ONE_COLUMN)),
        read_options=csv.ReadOptions(column_names=["number"], block_size=1 << 22),
        parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types={"number": pa.float32()}, null_values=[], strings_can_be_null=False
        ),
    )
    return np.asarray(table["number"].to_numpy(), np.float32)
