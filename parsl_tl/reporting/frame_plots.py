"""Plots of tables: what is drawn is told by a ``Plot``, and all look alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from parsl_tl.errors import AnalysisError, BenchmarkError
from parsl_tl.reporting.plots import save_figure


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
    files = []
    for plot in plots:
        rows, columns = plot.frame.shape
        size = (7.0, 1.8 + 0.22 * rows * (columns + 0.5)) if plot.kind == "barh" else (8.0, 4.5)
        if plot.frame.notna().to_numpy().any():
            files.append(save_plot(folder / f"{plot.name}.png", partial(_draw, plot), size))
    return files


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
        ticks = getattr(axes, f"{axis}axis")
        ticks.set_major_formatter("{x:,g}")
        ticks.set_minor_formatter(partial(_between_powers, ticks))
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


def _between_powers(axis: Any, number: float, _: int | None = None) -> str:
    """Labels some numbers between powers of ten, where few of these are in sight."""
    low, high = axis.get_view_interval()
    return f"{number:,g}" if high < 100 * low and f"{number:e}"[0] in "246" else ""


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
