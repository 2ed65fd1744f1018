"""The program: ``mpiexec -n 4 parsl-tl graph-meta models_*.json``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.arguments import ArgumentParser
from parsl_tl.errors import GraphMetaError, InvalidValueError, ParslTLError

if TYPE_CHECKING:
    from types import FrameType

    from parsl_tl.graph_meta.bench import Settings

_NAME = "graph_meta"
_SECONDS_TO_BE_READ = 1.0
_EPILOG = """\
examples:
  mpiexec -n 4 parsl-tl graph-meta models_*.json
  mpiexec -n 4 parsl-tl graph-meta population_*.parquet --queries 10000 --no-walk
  srun -n 64 parsl-tl graph-meta models_*.json --out runs/meta
"""
_PROG = f"python -m parsl_tl.{_NAME}"


def build_parser(prog: str = _PROG) -> argparse.ArgumentParser:
    """Returns the parser of the program."""
    parser = ArgumentParser(
        prog=prog,
        description=(
            "Loads a population on all MPI ranks, each of which holds a part of the graphs, and\n"
            "asks which graph shares the most layers with changed ones: from one rank, and from\n"
            "all at once. A walk over every graph on each rank is measured beside it."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="models_<n>.json: Keras 2 or 3 JSON, one model per line; or population_<n>.parquet "
        "or .arrow",
    )
    parser.add_argument(
        "--queries", type=int, default=1000, metavar="N", help="of all ranks (default: 1000)"
    )
    parser.add_argument(
        "--walk",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also walk every graph on each rank, to compare (default: yes)",
    )
    parser.add_argument(
        "--walk-queries",
        type=int,
        default=100,
        metavar="N",
        help="queries by walking (default: 100)",
    )
    parser.add_argument(
        "--batch", type=int, default=100, metavar="N", help="queries in one message (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the queries (default: 0)")
    parser.add_argument(
        "--max-models", type=int, metavar="N", help="only the first N of all files (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("bench/graph-meta"),
        metavar="FOLDER",
        help="tables and answers (default: bench/graph-meta)",
    )
    return parser


def main(argv: Sequence[str] | None = None, *, prog: str = _PROG) -> int:
    """Runs the program on this rank.

    An error on one rank is reported there, in one line on standard error, and ends all ranks.

    Args:
        argv: arguments; those of the process when None.
        prog: how it is called, for ``--help`` and mistakes.

    Returns:
        0; 2 for an error. With several ranks an error does not return: it ends all of them.
    """
    from parsl_tl.mpi import load_mpi

    try:
        comm = load_mpi(GraphMetaError).COMM_WORLD
    except ParslTLError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        code = comm.bcast(_start(argv, prog) if comm.Get_rank() == 0 else None)
        return code if isinstance(code, int) else _run(code, comm)
    except ParslTLError as error:
        return _end(comm, 2, f"{_place(comm)}{error}")
    except KeyboardInterrupt:
        return _end(comm, 130, f"{_place(comm)}interrupted")
    except _TerminatedError:
        return _end(comm, 143, f"{_place(comm)}terminated")
    except BaseException:
        # Whatever it is: the others would wait for this rank for ever.
        return _end(comm, 1, f"{_place(comm)}{traceback.format_exc()}")


class _TerminatedError(BaseException):
    """SIGTERM has arrived."""


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise _TerminatedError


def _start(argv: Sequence[str] | None, prog: str) -> tuple[Settings, Path] | int:
    """Reads the arguments on rank 0: settings and folder for all ranks, or an exit code."""
    from parsl_tl.reporting.console import make_out

    try:
        args = build_parser(prog).parse_args(argv)
        return _settings(args), make_out(args.out)
    except SystemExit as ended:
        return int(ended.code or 0)
    except ParslTLError as error:
        print(f"{_NAME}: error: {error}", file=sys.stderr)
        return 2


def _settings(args: argparse.Namespace) -> Settings:
    from parsl_tl.graph_meta.bench import Settings
    from parsl_tl.graph_meta.file_slices import lengths

    for name, least in (("queries", 1), ("walk_queries", 0), ("batch", 1), ("seed", 0)):
        _check(name, getattr(args, name), least)
    if args.max_models is not None:
        _check("max_models", args.max_models, 1)
    lengths(args.files)  # all ranks would tell of a file that is not there
    return Settings(
        files=tuple(args.files),
        queries=args.queries,
        walk_queries=min(args.walk_queries, args.queries) if args.walk else 0,
        batch=args.batch,
        seed=args.seed,
        max_models=args.max_models,
    )


def _check(name: str, value: int, least: int) -> None:
    if value < least:
        raise InvalidValueError(f"--{name.replace('_', '-')} {value} must be at least {least}")


def _run(start: tuple[Settings, Path], comm: Any) -> int:
    from parsl_tl.graph_meta.bench import run_bench
    from parsl_tl.reporting.console import make_console, show_progress

    settings, out = start
    if comm.Get_rank() != 0:
        run_bench(settings, comm, lambda share, text: None)
        return 0
    console = make_console()
    with show_progress(console, _NAME) as progress:
        report = run_bench(settings, comm, progress)
    if report is not None:
        report.show(console)
        console.print(f"{out}: {', '.join(report.write(out))}", markup=False)
    return 0


def _place(comm: Any) -> str:
    return f"rank {comm.Get_rank()}: " if comm.Get_size() > 1 else ""


def _end(comm: Any, code: int, reason: str) -> int:
    print(f"{_NAME}: error: {reason}", file=sys.stderr, flush=True)
    if comm.Get_size() > 1:
        # As soon as it hears of the end, mpiexec ends what passes on the output of the ranks.
        time.sleep(_SECONDS_TO_BE_READ)
        comm.Abort(code)
    return code
