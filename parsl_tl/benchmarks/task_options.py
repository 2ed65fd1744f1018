"""Options that the benchmark scripts have in common: where tasks run, and where results go."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from parsl_tl.benchmarks.core.networks import Network
    from parsl_tl.benchmarks.core.task_runner import Where


def add_task_options(parser: argparse.ArgumentParser, out: str, timeout: float = 600.0) -> None:
    """Adds ``--out``, ``--config``, ``--workers`` and ``--timeout``.

    Args:
        parser: of the script.
        out: folder for results by default.
        timeout: seconds that a task may take by default.
    """
    parser.add_argument(
        "--out", type=Path, default=Path(out), metavar="FOLDER", help="results (%(default)s)"
    )
    where = parser.add_argument_group("where it runs")
    where.add_argument(
        "--config",
        metavar="NAME",
        help="as Parsl tasks, on this executor configuration: a name or a file (without Parsl, "
        "on this machine)",
    )
    where.add_argument(
        "--workers", type=int, metavar="N", help="worker processes of the configuration"
    )
    where.add_argument(
        "--timeout",
        type=float,
        default=timeout,
        metavar="SECONDS",
        help="what a task may take before it counts as failed (%(default)g)",
    )


def add_network_options(
    parser: argparse.ArgumentParser, models: Sequence[str], scale: float
) -> None:
    """Adds ``--model``, ``--scale``, ``--input-length`` and ``--seed``.

    Args:
        parser: of the script.
        models: names of networks by default.
        scale: of the NT3 network by default.
    """
    from parsl_tl.benchmarks.core.networks import NAMES, NT3_INPUT_LENGTH

    what = parser.add_argument_group("networks")
    what.add_argument(
        "--model",
        nargs="+",
        default=list(models),
        metavar="NAME",
        help=f"{NAMES} ({' '.join(models)})",
    )
    what.add_argument(
        "--scale",
        type=float,
        default=scale,
        help="widths of the NT3 network, times the original's: 1 is 0.62 GB (%(default)g)",
    )
    what.add_argument(
        "--input-length",
        type=int,
        default=NT3_INPUT_LENGTH,
        metavar="N",
        help="gene expressions that the NT3 network takes (%(default)s)",
    )
    what.add_argument("--seed", type=int, default=0, help="of the weights (%(default)s)")


def networks_of(args: argparse.Namespace) -> tuple[Network, ...]:
    """Returns the networks that were asked for."""
    from parsl_tl.benchmarks.core.networks import network_from

    return tuple(
        network_from(name, args.input_length, args.scale, args.seed) for name in args.model
    )


def where_of(args: argparse.Namespace) -> Where:
    """Returns where tasks run; Parsl's logs go beside the results."""
    from parsl_tl.benchmarks.core.task_runner import Where

    return Where(args.config, args.workers, args.timeout, args.out / "parsl")


def write_results(
    console: Console, out: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Writes tables, and what the machine is, and says which files there are.

    Args:
        console: where to say it.
        out: the folder, which exists.
        tables: rows by name of the file; those without rows are left out.

    Raises:
        BenchmarkError: they cannot be written.
    """
    from parsl_tl.analysis.console import print_files
    from parsl_tl.benchmarks.core.report import write_machine_facts, write_rows
    from parsl_tl.errors import BenchmarkError

    try:
        files = [
            file for name, rows in tables.items() if rows for file in write_rows(rows, out, name)
        ]
        files.append(write_machine_facts(out))
    except OSError as error:
        raise BenchmarkError(f"{out}: results cannot be written: {error.strerror}") from error
    print_files(console, files)
