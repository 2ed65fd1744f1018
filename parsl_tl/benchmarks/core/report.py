"""What every benchmark reports alike: a table, files of rows, plots, and the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from parsl_tl.errors import AnalysisError, BenchmarkError
from parsl_tl.reporting.files import prepare_folder, write_table
from parsl_tl.reporting.plots import save_figure

Row = Mapping[str, Any]

_PACKAGES = (
    *("parsl-tl", "numpy", "pandas", "pyarrow", "parsl", "deephyper", "keras", "tensorflow"),
    *("tensorflow-cpu", "networkx", "redis", "safetensors", "h5py"),
)


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
    if isinstance(rows, pd.DataFrame):
        named = any(name is not None for name in rows.index.names)
        frame = rows.reset_index() if named else rows
        rows = [
            dict(zip(map(str, frame.columns), own, strict=True)) for own in frame.to_numpy(object)
        ]
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
    if value is None or value is pd.NA or value != value:  # what is not a number is not there
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
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


class Plot(NamedTuple):
    """A plot of a table.

    Attributes:
        name: of the file, without suffix.
        title: above it.
        frame: one row per place on the axis (of lines: its number), one column per series.
        label: what the values are.
        kind: ``bar``, ``barh`` or ``line``.
        log: axes that are logarithmic: of ``x`` and ``y``.
        across: what the places are; the index's name if empty.
        dashed: end of the names of lines that are dashed, in the colour of the line without it.
    """

    name: str
    title: str
    frame: Any
    label: str
    kind: str = "bar"
    log: str = ""
    across: str = ""
    dashed: str = ""


def save_plots(plots: Iterable[Plot], folder: Path) -> list[Path]:
    """Draws plots into PNG files; those without values are left out.

    Raises:
        BenchmarkError: matplotlib is not installed, or a file cannot be written.
    """
    shown = (plot for plot in plots if plot.frame.notna().to_numpy().any())
    return [
        save_plot(folder / f"{plot.name}.png", partial(_draw, plot), _size_of(plot))
        for plot in shown
    ]


def _size_of(plot: Plot) -> tuple[float, float]:
    rows, columns = plot.frame.shape
    return (7.0, 1.8 + 0.22 * rows * (columns + 0.5)) if plot.kind == "barh" else (8.0, 4.5)


def _draw(plot: Plot, axes: Any) -> None:
    is_line = plot.kind == "line"
    style: Any = {"marker": "o", "markersize": 4} if is_line else {"width": 0.8, "rot": 0}
    plot.frame.astype(float).plot(kind=cast(Any, plot.kind), ax=axes, legend=False, **style)
    if plot.dashed:
        colors: dict[str, Any] = {}
        for line in axes.lines:
            name = str(line.get_label())
            line.set_color(colors.setdefault(name.rpartition(", ")[0] or name, line.get_color()))
            line.set_linestyle("--" if name.endswith(plot.dashed) else "-")
    for axis in plot.log:
        getattr(axes, f"set_{axis}scale")("log")
        getattr(axes, f"{axis}axis").set_major_formatter("{x:,g}")
    across, along = plot.across or plot.frame.index.name or "", plot.label
    if plot.kind == "barh":
        across, along = along, across
        axes.invert_yaxis()
        axes.margins(x=0.12)
        for bars in axes.containers:
            axes.bar_label(bars, fmt="{:,.3g}", padding=3, fontsize=8)
    axes.set_xlabel(across)
    axes.set_ylabel(along)
    axes.set_title(plot.title, fontsize=10)
    axes.grid(axis="both" if is_line else "xy"[plot.kind == "bar"], alpha=0.4)
    axes.set_axisbelow(True)
    if plot.frame.shape[1] > 1:
        axes.figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)


def save_plot(
    path: Path, draw: Callable[[Any], Any], size: tuple[float, float] = (7.0, 4.5)
) -> Path:
    """Saves one plot; no display is needed.

    Args:
        path: its suffix is the format (png, svg, pdf); the folder is created.
        draw: draws into the ``matplotlib.axes.Axes`` that it is given.
        size: width and height in inches.

    Raises:
        BenchmarkError: matplotlib is not installed, or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return save_figure(path, size, lambda figure: draw(figure.add_subplot()))
    except AnalysisError as error:
        raise BenchmarkError(str(error)) from error


def short(value: float) -> float:
    """Returns a number with three digits, as tables with many columns show it."""
    return float(f"{value:.3g}")


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
