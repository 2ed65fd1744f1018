"""Generates a population with the ranks of an MPI run: what ``apps/gen_models*.py`` do."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from parsl_tl.arguments import ArgumentParser
from parsl_tl.cli.population_options import add_population_options, population_task
from parsl_tl.errors import ParslTLError
from parsl_tl.mpi import world
from parsl_tl.population.folder import remove_parts
from parsl_tl.population.generate import PartReport, PopulationTask, part_bounds, write_part
from parsl_tl.population.redraws import redraws_text
from parsl_tl.reporting.console import make_console, show_progress
from parsl_tl.reporting.sizes import counted, show_bytes


def generate_on_ranks(description: str, *, evolves: bool, argv: Sequence[str] | None = None) -> int:
    """Runs the program on this rank; all ranks call it.

    Args:
        description: of the program, for ``--help``.
        evolves: whether it can evolve a population.
        argv: arguments; those of the process when None.

    Returns:
        The exit code, the same on all ranks: 0, or 2 for an error, which rank 0 tells.
    """
    try:
        comm = world()
    except ParslTLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args = comm.bcast(_parse(description, evolves, argv) if comm.Get_rank() == 0 else None)
    if isinstance(args, int):
        return args
    try:
        # Rank 0 first, so that what is wrong for all is reported once.
        (task,) = _together(comm, lambda: population_task(args), only_first=True)
        tasks = _together(comm, lambda: population_task(args))
        start = time.perf_counter()
        reports = _together(comm, lambda: _write(tasks[comm.Get_rank()], comm))
    except _ToldError:
        return 2
    if comm.Get_rank() == 0:
        remove_parts(task.folder, comm.Get_size())
        _tell(task, reports, time.perf_counter() - start)
    return 0


class _ToldError(Exception):
    """Some rank failed, and rank 0 has said so."""


def _together(comm: Any, work: Callable[[], Any], *, only_first: bool = False) -> list[Any]:
    """Lets all ranks work and returns what each gave; if one fails, all of them raise."""
    rank = comm.Get_rank()
    result: Any = None
    error = None
    if rank == 0 or not only_first:
        try:
            result = work()
        except ParslTLError as raised:
            error = str(raised)
    found = comm.allgather((result, error))
    errors = list(dict.fromkeys(text for _, text in found if text is not None))
    if errors and rank == 0:
        for text in errors:
            print(f"error: {text}", file=sys.stderr, flush=True)
    if errors:
        raise _ToldError
    return [value for value, _ in found[: 1 if only_first else None]]


def _parse(description: str, evolves: bool, argv: Sequence[str] | None) -> argparse.Namespace | int:
    """Returns the arguments, or the exit code where there is nothing more to do."""
    parser = ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_population_options(parser, evolves=evolves)
    try:
        return parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)


def _write(task: PopulationTask, comm: Any) -> PartReport:
    part, parts = comm.Get_rank(), comm.Get_size()
    if part > 0:
        return write_part(task, part, parts)
    # All parts are of one size, so that rank 0 stands for the others.
    size = task.description.size
    first, end = part_bounds(size, part, parts)
    console = make_console()
    # A log needs no more than ten lines.
    steps = 1000 if console.is_terminal else 10
    with show_progress(console, "models") as progress:

        def show(done: int) -> None:
            share = done * steps // (end - first) / steps
            progress(share, f"{share * size:,.0f} written")

        return write_part(task, part, parts, show)


def _tell(task: PopulationTask, reports: Sequence[PartReport], seconds: float) -> None:
    models = sum(report.models for report in reports)
    size = show_bytes(sum(report.bytes for report in reports))
    evolved = f", {task.evolve_count:,} of them evolved" if task.evolve_count else ""
    print(
        f"{counted(models, 'model')}{evolved} in {seconds:.1f} s "
        f"({models / seconds:,.0f} models/s on {counted(len(reports), 'rank')}), "
        f"{size} in {task.folder}"
    )
    if text := redraws_text(report.redrawn for report in reports):
        print(text)
