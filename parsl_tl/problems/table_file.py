"""Tables from files: CSV in its variants, Parquet, and Arrow or Feather."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from parsl_tl.errors import ProblemError
from parsl_tl.suggestions import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS: Final = ",;\t|"
_ARROW_SUFFIXES: Final = (".feather", ".arrow", ".ipc")
_PARQUET_SUFFIXES: Final = (".parquet", ".pq")
# Types are inferred from the first block: one block for all that is not huge. Packed files tell no
# size.
_LARGEST_BLOCK: Final = 1 << 30
_PACKED_BLOCK: Final = 1 << 28


def read_table(path: Path) -> pa.Table:
    """Reads a table.

    Args:
        path: ends in ``.parquet``, ``.pq``, ``.feather``, ``.arrow`` or ``.ipc``; every other file
            is CSV, with a line of names, any of the delimiters ``, ; tab |``, packed or not.

    Returns:
        The table; empty fields and the usual words for nothing (``NA``, ``null``) are null.

    Raises:
        ProblemError: the file cannot be read as a table; it names the file.
    """
    import pyarrow as pa
    from pyarrow import feather, parquet

    suffix = path.suffix.lower()
    try:
        if suffix in _PARQUET_SUFFIXES:
            table = parquet.read_table(path)
        elif suffix in _ARROW_SUFFIXES:
            table = feather.read_table(path)
        else:
            table = _read_csv(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError) as error:
        raise ProblemError(f"{path} cannot be read as a table: {error}") from error
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise ProblemError(f"{path} has more than one column {twice[0]!r}; rename one")
    if table.num_rows == 0:
        raise ProblemError(f"{path} has a line of names and no rows")
    return table


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    first = _first_line(path)
    counts = {delimiter: first.count(delimiter) for delimiter in _DELIMITERS}
    delimiter = max(counts, key=lambda one: counts[one])
    if counts[delimiter] == 0:
        raise ProblemError(
            f"{path} is no table: its first line has no comma, semicolon, tab or bar, "
            f"it is {first[:60]!r}"
        )
    if all(_is_number(name) for name in first.split(delimiter)):
        raise ProblemError(
            f"the first line of {path} holds numbers; put a line with the names of the columns "
            "before it"
        )
    packed = path.suffix.lower() in (".gz", ".bz2", ".zst", ".lz4")
    block = _PACKED_BLOCK if packed else min(path.stat().st_size + 1, _LARGEST_BLOCK)
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(block_size=max(block, 1 << 16)),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
    )
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if pa.types.is_binary(kind):
            raise ProblemError(f"column {name!r} of {path} is no UTF-8; save the file as UTF-8")
    return table


def _first_line(path: Path) -> str:
    import pyarrow as pa

    with pa.input_stream(str(path)) as stream:  # unpacks by the name's suffix
        start: bytes = stream.read(1 << 20)
    if not start:
        raise ProblemError(f"{path} is empty")
    if b"\0" in start:
        raise ProblemError(f"{path} is no text, so no CSV; the suffix tells other formats apart")
    return start.split(b"\n", 1)[0].decode("utf-8-sig").strip("\r")


def _is_number(text: str) -> bool:
    try:
        float(text.strip().strip('"'))
    except ValueError:
        return False
    return True


def check_columns(wanted: Sequence[str], known: Sequence[str], what: str, path: Path | str) -> None:
    """Refuses columns that a table does not have.

    Args:
        wanted: names.
        known: those of the table.
        what: they are, as the message begins.
        path: of the table.

    Raises:
        ProblemError: with the nearest name, and all of them.
    """
    for name in wanted:
        if name not in known:
            shown = [*known[:20], "..."] if len(known) > 20 else known
            raise ProblemError(
                f"{what} {name!r} is no column of {path}{did_you_mean(name, known)}; "
                f"it has {', '.join(shown)}"
            )
