"""``parsl-tl bench all``: a small run of every benchmark, and one page with all results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.console import make_console, make_out, show_progress

_EXAMPLES = """\
examples:
  parsl-tl bench all
  parsl-tl bench all --only transfer writes --folder /lustre/me --out bench/lustre
"""


def add_all_bench(subparsers: Any) -> None:
    """Adds ``all`` to the actions of ``parsl-tl bench``."""
    parser = subparsers.add_parser(
        "all",
        help="a small run of every benchmark, and one page with all results",
        description=(
            "Is the store worth it on this machine? Runs every benchmark in a small size, five\n"
            "minutes in all, and renders one page with the tables and plots."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", default="bench/all", metavar="FOLDER", help="results (default: bench/all)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="run these benchmarks only"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="file system that is measured (default: what each benchmark prefers)",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.benchmarks.core.every_benchmark import run_benchmarks
    from parsl_tl.benchmarks.core.report_page import write_page
    from parsl_tl.stop_signals import stopping_in_order

    if args.folder is not None and not args.folder.is_dir():
        raise BenchmarkError(f"{args.folder} is no folder; name another one with --folder")
    console = make_console()
    out = make_out(Path(args.out)).resolve()
    folder = None if args.folder is None else args.folder.resolve()
    with stopping_in_order(), show_progress(console, "benchmarks") as progress:
        runs = run_benchmarks(args.only, out, folder, progress)
    page = write_page(runs, out / "report.html")
    for run in runs:
        state = f"failed: {run.problem}" if run.problem else f"{run.seconds:.0f} s"
        line = f"{run.suite.title}: {state}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Page: {page}", markup=False, highlight=False, soft_wrap=True)
    return 1 if any(run.problem for run in runs) else 0
