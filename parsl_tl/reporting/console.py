"""What programs do alike on the console: progress, files written, and the folder for results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from parsl_tl.errors import AnalysisError, BenchmarkError
from parsl_tl.reporting.files import prepare_folder

if TYPE_CHECKING:
    from rich.console import Console

# Tables fit this; a pipe or a file tells no width of its own.
_PIPED_WIDTH = 100
# Share of the work that is done, and what comes next.
Progress = Callable[[float, str], None]


def make_console() -> Console:
    """Returns the console of standard output, a hundred columns wide unless a terminal is."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)


def make_out(folder: Path) -> Path:
    """Makes the folder for results, before a benchmark has taken its time.

    Raises:
        BenchmarkError: it cannot be made, or nothing can be written there.
    """
    try:
        return prepare_folder(folder)
    except AnalysisError as error:
        raise BenchmarkError(str(error)) from error


def print_files(console: Console, files: Iterable[Path]) -> None:
    """Says which files were written, in one line that can be copied."""
    text = ", ".join(str(file) for file in files)
    console.print(f"Written: {text}", markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def show_progress(console: Console, what: str) -> Iterator[Progress]:
    """Shows a bar on a terminal, and one line per step elsewhere.

    Args:
        console: where to.
        what: stands in front of every step.
    """
    if not console.is_terminal:
        yield _lines(console, what)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=f"{what}: {text}")


def _lines(console: Console, what: str) -> Progress:
    last = ""

    def show(share: float, text: str) -> None:
        nonlocal last
        # A step that tells how far it is would fill a log with copies of its line.
        if text != last:
            line = f"{what}: {share:4.0%} {text}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        last = text

    return show
