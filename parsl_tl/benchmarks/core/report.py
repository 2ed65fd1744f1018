"""What every benchmark reports alike: a table, files of rows, plots, and the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from parsl_tl.analysis.files import prepare_folder, save_figure, write_table
from parsl_tl.errors import AnalysisError, BenchmarkError

Row = Mapping[str, Any]

_PACKAGES = (
    "parsl-tl",
    "numpy",
    "pandas",
    "pyarrow",
    "parsl",
    "deephyper",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "networkx",
    "redis",
    "safetensors",
    "h5py",
)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the median and the 99th percentile of durations, as ``p50`` and ``p99``.

    Args:
        seconds: at least one duration, in seconds; the results are in seconds too.
    """
    p50, p99 = np.percentile(np.asarray(seconds, np.float64), [50, 99]).tolist()
    return {"p50": p50, "p99": p99}


def print_table(title: str, rows: Sequence[Row], console: Console | None = None) -> None:
    """Prints rows as a table; columns are those of all rows, in the order of appearance.

    Args:
        title: stands in a line of its own above the table, however narrow that is.
        rows: one mapping from column to value per row; a row may lack columns.
        console: where to print; standard output if None.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table()
    for column in columns:
        values = [row.get(column) for row in rows]
        is_text = any(isinstance(value, str) for value in values)
        table.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(_show(row.get(column)) for column in columns))
    console = console or Console()
    console.print(title, style="table.title", markup=False)
    console.print(table)


def _show(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return str(value)


def write_rows(rows: Sequence[Row], folder: Path, name: str) -> tuple[Path, Path]:
    """Writes rows as CSV and as Parquet; the files appear by rename.

    Args:
        rows: one mapping from column to value per row.
        folder: created if it is missing.
        name: of both files, without suffix.

    Returns:
        The two files.

    Raises:
        AnalysisError: they cannot be written.
    """
    csv, parquet = write_table(
        pd.DataFrame([dict(row) for row in rows]), prepare_folder(folder), name
    )
    return csv, parquet


def save_plot(
    path: Path, draw: Callable[[Any], None], size: tuple[float, float] = (7.0, 4.5)
) -> Path:
    """Saves one plot; no display is needed.

    Args:
        path: its suffix is the format (png, svg, pdf); the folder is created.
        draw: draws into the ``matplotlib.axes.Axes`` that it is given.
        size: width and height in inches.

    Returns:
        The file.

    Raises:
        BenchmarkError: matplotlib is not installed, or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return save_figure(path, size, lambda figure: draw(figure.add_subplot()))
    except AnalysisError as error:
        raise BenchmarkError(str(error)) from error


def machine_facts() -> dict[str, Any]:
    """Returns what a reader needs to compare numbers: processor, memory (bytes), versions."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def write_machine_facts(folder: Path) -> Path:
    """Writes ``machine_facts`` to ``machine.json`` in a results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "machine.json"
    path.write_text(json.dumps(machine_facts(), indent=2) + "\n")
    return path


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
