"""A benchmark as a program: from the command line to tables, files and plots."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.arguments import ArgumentParser
from parsl_tl.benchmarks.core.options import add_options, check_values, left_out, settings_from
from parsl_tl.errors import BenchmarkError

if TYPE_CHECKING:
    from parsl_tl.reporting.frame_plots import Plot

# Share of the work that is done, and what comes next.
Progress = Callable[[float, str], None]
Row = dict[str, Any]
# Rows by the name of their file.
Tables = dict[str, list[Row]]
# The same as pandas.DataFrame, whose cells have no types.
Frames = Mapping[str, Any]


def silent(share: float, text: str) -> None:
    """Takes progress, and tells nobody."""


def _nothing(frames: Frames) -> list[Any]:
    return []


@dataclass(frozen=True)
class Suite:
    """One benchmark.

    Attributes:
        name: of its command, and the folder of its results.
        label: stands in front of every step while it runs.
        default: its settings: a dataclass of ``option`` fields.
        check: returns settings that can be measured here, or raises; values are checked before.
        measure: measures everything.
        summary: titles and tables that people read, of the rows by file.
        plots: the plots.
        remarks: lines below the tables.
        failures: what went wrong, a line each; the exit code is 1 if there is any.
        text: what it measures, in a line, where commands are listed.
        description: for ``--help`` of its command; a script has a text of its own.
        examples: command lines for it.
        out: folder of the results.
        title: above its results on the page of ``bench all``.
        small: options of its run for ``bench all``; without any it takes no part.
    """

    name: str
    label: str
    default: Any
    check: Callable[[Any], Any]
    measure: Callable[[Any, Progress], Tables]
    summary: Callable[[Frames], Sequence[tuple[str, Any]]]
    plots: Callable[[Frames], Sequence[Plot]] = _nothing
    remarks: Callable[[Frames], Sequence[str]] = _nothing
    failures: Callable[[Frames], Sequence[str]] = _nothing
    text: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()
    out: str = ""
    title: str = ""
    small: tuple[str, ...] = ()

    def checked(self, settings: Any) -> Any:
        """Returns settings that can be measured; see ``check``."""
        return self.check(check_values(settings))


def all_suites() -> list[Suite]:
    """Returns the ``SUITE`` of every module of ``benchmarks.suites`` that has one."""
    from parsl_tl.benchmarks import suites

    names = (f"{suites.__name__}.{found.name}" for found in pkgutil.iter_modules(suites.__path__))
    modules = [importlib.import_module(name) for name in names]
    return [module.SUITE for module in modules if hasattr(module, "SUITE")]


def frames_of(tables: Tables) -> Frames:
    """Returns tables as pandas has them, those that have rows."""
    import pandas as pd

    return {name: pd.DataFrame(rows) for name, rows in tables.items() if rows}


def add_arguments(suite: Suite, parser: argparse.ArgumentParser) -> None:
    """Adds ``--out`` and the suite's options."""
    out = suite.out or f"bench/{suite.name}"
    parser.add_argument(
        "--out", type=Path, default=Path(out), metavar="FOLDER", help=f"results ({out})"
    )
    add_options(parser, type(suite.default), suite.default)


def run_suite(suite: Suite, args: argparse.Namespace) -> int:
    """Measures, writes and shows everything; returns the exit code, 1 if something failed."""
    from parsl_tl.reporting.console import make_console, make_out, show_progress
    from parsl_tl.stop_signals import stopping_in_order

    console = make_console()
    given = settings_from(args, suite.default)
    if hasattr(given, "where"):
        # Parsl's logs go beside the results.
        given = replace(given, where=replace(given.where, run_dir=args.out / "parsl"))
    # Before anything takes time: a wrong value, or a folder for results that cannot be.
    settings = suite.checked(given)
    out = make_out(args.out)
    for what, reason in left_out(given):
        console.print(f"without {what}: {reason}", markup=False)
    with stopping_in_order(), show_progress(console, suite.label) as progress:
        tables = suite.measure(settings, progress)
    return _report(suite, tables, out, console)


def _report(suite: Suite, tables: Tables, out: Path, console: Any) -> int:
    from parsl_tl.reporting.frame_plots import save_plots
    from parsl_tl.reporting.machine import write_machine_facts
    from parsl_tl.reporting.tables import print_table, write_rows

    try:
        files = [
            file for name, rows in tables.items() if rows for file in write_rows(rows, out, name)
        ]
        files.append(write_machine_facts(out))
    except OSError as error:
        raise BenchmarkError(f"{out}: results cannot be written: {error.strerror}") from error
    frames = frames_of(tables)
    for title, table in suite.summary(frames):
        if len(table):
            print_table(title, table, console)
    failures = suite.failures(frames)
    for line in (*suite.remarks(frames), *(f"failed: {reason}" for reason in failures)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    try:
        files += save_plots(suite.plots(frames), out)
    except BenchmarkError as error:  # matplotlib is not there
        console.print(str(error), markup=False)
    console.print(f"{out}: {', '.join(file.name for file in files)}", markup=False)
    return 1 if failures else 0


def run_script(suite: Suite, text: str | None) -> int:
    """Runs a suite as a script, with a text for ``--help``; returns the exit code."""
    from parsl_tl.exit_codes import run_program

    parser = ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(suite, parser)
    return run_program(lambda: run_suite(suite, parser.parse_args()))
