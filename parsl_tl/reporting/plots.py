"""Plots as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from parsl_tl.errors import AnalysisError
from parsl_tl.reporting.files import replace_file

_DPI = 150
# What Agg can draw, in pixels each way, with something to spare.
_MOST_PIXELS = 60_000


def make_figure(size: tuple[float, float], draw: Callable[[Any], None]) -> Any:
    """Draws a ``matplotlib.figure.Figure``; no display is needed.

    Args:
        size: width and height in inches.
        draw: draws into the figure that it is given.

    Raises:
        AnalysisError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise AnalysisError("plots need matplotlib: pip install 'parsl-tl[plot]'") from None
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    return figure


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> Path:
    """Draws a figure and saves it; no display is needed.

    Args:
        path: its suffix is the format (png, svg, pdf).
        size: width and height in inches.
        draw: draws into the ``matplotlib.figure.Figure`` that it is given.

    Raises:
        AnalysisError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib import rc_context
    except ModuleNotFoundError:
        raise AnalysisError("plots need matplotlib: pip install 'parsl-tl[plot]'") from None
    # Text stays text in SVG, and equal input gives equal bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "parsl_tl"}):
        figure = make_figure(size, draw)
        dpi = min(_DPI, _MOST_PIXELS / max(size))
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        return replace_file(
            path, lambda partial: figure.savefig(partial, dpi=dpi, metadata=metadata)
        )
