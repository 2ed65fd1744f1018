"""The views of runs as files: SVG, PNG and CSV, one of each for a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from parsl_tl.errors import AnalysisError
from parsl_tl.report import charts
from parsl_tl.report.page import run_views
from parsl_tl.report.pictures import architectures
from parsl_tl.report.svg import standalone, with_legend
from parsl_tl.reporting.files import prepare_folder, replace_file

if TYPE_CHECKING:
    from parsl_tl.report.run import Run
    from parsl_tl.report.view import View

FORMATS: Final = ("svg", "png", "csv")
_ZOOM = 2  # pixels of a PNG for a unit of the drawing


def write_figures(
    runs: Sequence[Run],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    wanted: Sequence[float] | None = None,
) -> list[Path]:
    """Writes each view as files; those of a run alone, of several, into a folder of its own.

    Args:
        runs: at least one.
        folder: is made.
        formats: of ``FORMATS``.
        wanted: values of the objective, for the time to reach them.

    Raises:
        AnalysisError: a file cannot be written, or PNG is wanted and ``resvg_py`` is missing.
    """
    render = _renderer() if "png" in formats else None
    prepare_folder(folder, "--figures")
    files = []
    for place, view in _views(runs, folder, wanted):
        place.mkdir(exist_ok=True)
        name = place / view.key
        if "csv" in formats and len(view.table):
            table = view.table.drop(columns=["alike"], errors="ignore")
            files.append(replace_file(name.with_suffix(".csv"), partial(table.to_csv, index=False)))
        if not view.svg:
            continue
        svg = standalone(with_legend(view.svg, view.legend))
        if "svg" in formats:
            path = name.with_suffix(".svg")
            files.append(replace_file(path, partial(Path.write_text, data=svg, encoding="utf-8")))
        if render is not None:
            path = name.with_suffix(".png")
            files.append(replace_file(path, partial(Path.write_bytes, data=render(svg))))
    return files


def _views(
    runs: Sequence[Run], folder: Path, wanted: Sequence[float] | None
) -> Iterator[tuple[Path, View]]:
    for view in charts.compared(runs, wanted):
        yield folder, view
    for number, run in enumerate(runs):
        # Runs of different folders may have one name.
        own = folder if len(runs) == 1 else folder / f"{number}-{run.name}"
        for view in [*run_views(run), *architectures(run)]:
            yield own, view


def _renderer() -> Callable[[str], bytes]:
    """Returns what makes a PNG of an SVG."""
    try:
        import resvg_py
    except ModuleNotFoundError:
        raise AnalysisError(
            "PNG files need resvg_py: pip install 'parsl-tl[report]', or leave png out"
        ) from None

    def render(svg: str) -> bytes:
        return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_ZOOM))

    return render
