"""A benchmark as a program: from the command line to tables, files and plots."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from parsl_tl.arguments import ArgumentParser
from parsl_tl.benchmarks.core import options
from parsl_tl.benchmarks.core.task_runner import LONGEST_SECONDS, Where, run_each
from parsl_tl.deprecation import moved_names
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot

T = TypeVar("T")
# Share of the work that is done, and what comes next.
Progress = Callable[[float, str], None]
Row = dict[str, Any]
# Rows by the name of their file; and the same as pandas.DataFrame, whose cells have no types.
Tables = dict[str, list[Row]]
Frames = Mapping[str, Any]


def silent(share: float, text: str) -> None:
    """Takes progress, and shows nothing."""


def in_steps(progress: Progress, steps: Sequence[tuple[str, T]]) -> Iterator[T]:
    """Yields what stands behind the texts of steps, and shows each."""
    for done, (text, step) in enumerate(steps):
        progress(done / len(steps), text)
        yield step
    progress(1.0, "done")


def pivot(rows: Any, cell: str, index: Any, columns: Any, how: Any = "first") -> Any:
    """Returns a table of rows, in their order: a cell is one row's value, or what ``how`` makes."""
    return rows.pivot_table(cell, index, columns, aggfunc=how, sort=False)


@dataclass(frozen=True)
class Suite(ABC):
    """One benchmark. Its settings are the fields, its measurements and their report the methods."""

    name: ClassVar[str]  # of its command, and the folder of its results
    label: ClassVar[str]  # stands in front of every step while it runs
    text: ClassVar[str]  # what it measures, in a line, where commands are listed
    title: ClassVar[str] = ""  # above its results on the page of ``bench all``
    # Options of its run for ``bench all``; without any it takes no part.
    small: ClassVar[tuple[str, ...]] = ()
    description: ClassVar[str] = ""  # for ``--help`` of its command; a script has a text of its own
    examples: ClassVar[tuple[str, ...]] = ()  # command lines for it
    out: ClassVar[str] = ""  # folder of the results
    # Its steps are tasks; else, with ``--config``, the suite as a whole is one.
    has_tasks: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        # Deprecated names of its module, for one release: what is called on them still works.
        if "name" not in vars(cls):
            return
        stem, new = cls.__name__.removesuffix("Suite"), f"{cls.__module__}:{cls.__name__}"
        old_names = moved_names(cls.__module__, {"SUITE": new, f"{stem}Settings": new})
        vars(sys.modules[cls.__module__]).setdefault("__getattr__", old_names)

    where: Where = options.nested(Where(timeout=LONGEST_SECONDS), "where it runs, as one task")

    def check(self) -> Self:
        """Returns settings that can be measured here, or raises; values are checked before."""
        return self

    @abstractmethod
    def measure(self, progress: Progress = silent) -> Tables:
        """Measures everything, of checked settings; leaves nothing behind, whatever happens.

        Raises:
            BenchmarkError: a process or server failed; formats gave back other bytes than were
                written, or methods other answers than each other; tasks cannot run where they
                should.
        """

    @abstractmethod
    def summary(self, frames: Frames) -> Sequence[tuple[str, Any]]:
        """Returns titles and tables that people read, of the rows by file."""

    def plots(self, frames: Frames) -> Sequence[Plot]:
        """Returns the plots."""
        return ()

    def remarks(self, frames: Frames) -> Sequence[str]:
        """Returns lines below the tables."""
        return ()

    def failures(self, frames: Frames) -> Sequence[str]:
        """Returns what went wrong; the exit code is 1 if there is anything."""
        return ()

    def checked(self) -> Self:
        """Returns settings that can be measured; see ``check``."""
        return options.check_values(self).check()


def all_suites() -> dict[str, Suite]:
    """Returns the suites of all modules of ``benchmarks.suites``, with their defaults, by name."""
    from parsl_tl.benchmarks import suites

    names = (f"{suites.__name__}.{found.name}" for found in pkgutil.iter_modules(suites.__path__))
    found = [vars(importlib.import_module(name)).values() for name in names]
    kinds = {one for own in found for one in own if isinstance(one, type)}
    made = [one() for one in kinds if issubclass(one, Suite) and hasattr(one, "name")]
    return {suite.name: suite for suite in sorted(made, key=lambda suite: suite.name)}


def frames_of(tables: Tables) -> Frames:
    """Returns tables as pandas has them, those that have rows."""
    import pandas as pd

    return {name: pd.DataFrame(rows) for name, rows in tables.items() if rows}


def add_arguments(suite: Suite, parser: argparse.ArgumentParser) -> None:
    """Adds ``--out`` and the suite's options."""
    out = suite.out or f"bench/{suite.name}"
    text = f"results ({out})"
    parser.add_argument("--out", type=Path, default=Path(out), metavar="FOLDER", help=text)
    options.add_options(parser, suite)


def run_suite(suite: Suite, args: argparse.Namespace) -> int:
    """Measures, writes and shows everything; returns the exit code, 1 if something failed."""
    from parsl_tl.reporting.console import make_console, make_out, show_progress
    from parsl_tl.stop_signals import stopping_in_order

    console, given = make_console(), options.settings_from(args, suite)
    # Parsl's logs go beside the results.
    given = replace(given, where=replace(given.where, run_dir=args.out / "parsl"))
    is_task = given.where.config is not None and not suite.has_tasks
    # Before anything takes time: a wrong value, or a folder for results that cannot be.
    settings = options.check_values(given) if is_task else given.checked()
    out = make_out(args.out)
    for what, reason in options.left_out(given):
        console.print(f"without {what}: {reason}", markup=False)
    with stopping_in_order(), show_progress(console, suite.label) as progress:
        tables = _as_task(given, progress) if is_task else settings.measure(progress)
    return _report(suite, tables, out, console)


def _as_task(suite: Suite, progress: Progress) -> Tables:
    (tables,) = run_each(suite.where, [(f"{suite.name}, as a task", _measure, (suite,))], progress)
    if isinstance(tables, str):
        raise BenchmarkError(tables)
    return dict(tables)


def _measure(suite: Suite) -> Tables:
    return suite.checked().measure()


def _report(suite: Suite, tables: Tables, out: Path, console: Any) -> int:
    from parsl_tl.reporting.frame_plots import save_plots
    from parsl_tl.reporting.machine import write_machine_facts
    from parsl_tl.reporting.tables import print_table, write_rows

    given = [(name, rows) for name, rows in tables.items() if rows]
    try:
        files = [file for name, rows in given for file in write_rows(rows, out, name)]
        files.append(write_machine_facts(out))
    except OSError as error:
        raise BenchmarkError(f"{out}: results cannot be written: {error.strerror}") from error
    frames = frames_of(tables)
    for title, table in suite.summary(frames):
        if len(table):
            print_table(title, table, console)
    failures = sorted(set(suite.failures(frames)))
    for line in (*suite.remarks(frames), *(f"failed: {reason}" for reason in failures)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    try:
        files += save_plots(suite.plots(frames), out)
    except BenchmarkError as error:  # matplotlib is not there
        console.print(str(error), markup=False)
    console.print(f"{out}: {', '.join(file.name for file in files)}", markup=False)
    return 1 if failures else 0


def run_script(name: str, text: str | None) -> int:
    """Runs a suite as a script, with a text for ``--help``; returns the exit code."""
    from parsl_tl.exit_codes import run_program

    parser = ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    suite = all_suites()[name]
    add_arguments(suite, parser)
    return run_program(lambda: run_suite(suite, parser.parse_args()))
