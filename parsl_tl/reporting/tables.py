"""Tables of rows: on the console, and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from parsl_tl.reporting.files import prepare_folder, write_table

Row = Mapping[str, Any]


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the median and the 99th percentile of durations, as ``p50`` and ``p99``.

    Args:
        seconds: at least one duration, in seconds; the results are in seconds too.
    """
    p50, p99 = np.percentile(np.asarray(seconds, np.float64), [50, 99]).tolist()
    return {"p50": p50, "p99": p99}


def print_table(
    title: str, rows: Sequence[Row] | pd.DataFrame, console: Console | None = None
) -> None:
    """Prints rows as a table; columns are those of all rows, in the order of appearance.

    Args:
        title: stands in a line of its own above the table, however narrow that is.
        rows: one mapping from column to value per row, which may lack columns; or a frame, whose
            index becomes columns unless it is but a count.
        console: where to print; standard output if None.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    table = Table()
    for column in frame:
        is_text = any(isinstance(value, str) for value in frame[column])
        table.add_column(str(column), justify="left" if is_text else "right")
    for row in frame.to_numpy(object):
        table.add_row(*map(_show, row))
    console = console or Console()
    console.print(title, style="table.title", markup=False)
    console.print(table)


def _show(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) or (isinstance(value, float) and abs(value) >= 1000):
        return f"{value:,.0f}"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def write_rows(rows: Sequence[Row], folder: Path, name: str) -> tuple[Path, Path]:
    """Writes rows as CSV and as Parquet, and returns the files; they appear by rename.

    Raises:
        AnalysisError: they cannot be written.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    csv, parquet = write_table(frame, prepare_folder(folder), name)
    return csv, parquet


def short(value: float) -> float:
    """Returns a number with three digits, as tables with many columns show it."""
    return float(f"{value:.3g}")
