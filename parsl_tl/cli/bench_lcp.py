"""``parsl-tl bench lcp``: how fast the longest common prefix is found, by catalog size."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.cli.bench_output import make_console, make_out, show_progress
from parsl_tl.errors import BenchmarkError

if TYPE_CHECKING:
    from parsl_tl.benchmarks.lcp import LcpRows, LcpSettings

_METHODS = ("walk", "walk-arrays", "networkx", "redis", "store")
_EXAMPLES = """\
examples:
  parsl-tl bench lcp --quick
  parsl-tl bench lcp --sizes 1000 60000 --methods walk store --out bench/lcp
"""


def add_lcp_bench(subparsers: Any) -> None:
    """Adds ``lcp`` to the actions of ``parsl-tl bench``."""
    parser = subparsers.add_parser(
        "lcp",
        help="finding the longest common prefix, beside walking every graph",
        description=(
            "Evolves a catalog and asks the store, and other ways, which model shares the most\n"
            "layers with random architectures and with children of the latest models. All have\n"
            "to give the same answers. Takes about half an hour, most of it for the others."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", default="bench/lcp", metavar="FOLDER", help="results (default: bench/lcp)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="1,000 and 10,000 models, half a minute"
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=int,
        metavar="N",
        help="models per catalog (default: 1000 10000 60000 200000 1000000)",
    )
    parser.add_argument(
        "--queries", type=int, metavar="N", help="of each kind, at most (default: 10000)"
    )
    parser.add_argument(
        "--agreement",
        type=int,
        metavar="N",
        help="queries that all methods have to answer alike (default: 1000)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="where temporary stores go, 2.5 kB per model (default: /dev/shm if it has room)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=_METHODS,
        metavar="METHOD",
        help=f"of {', '.join(_METHODS)} (default: all that are installed)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of models and queries (default: 0)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.benchmarks.core.report import print_table
    from parsl_tl.benchmarks.lcp import run_lcp_bench
    from parsl_tl.benchmarks.lcp_methods import missing_methods
    from parsl_tl.benchmarks.lcp_report import save_plots, summary_tables
    from parsl_tl.benchmarks.lcp_settings import check

    console = make_console()
    # Before anything takes time: a wrong value, or a folder for results that cannot be.
    settings = check(_settings(args))
    out = make_out(Path(args.out))
    if args.methods is None:
        for method, reason in missing_methods().items():
            console.print(f"without {method}: {reason}", markup=False)
    with show_progress(console, "prefixes") as progress:
        rows = run_lcp_bench(settings, progress)
    written = _write(rows, out)
    for title, table in summary_tables(rows):
        print_table(title, table, console)
    try:
        written += [path.name for path in save_plots(rows, out)]
    except BenchmarkError as error:
        console.print(str(error), markup=False)
    console.print(f"{out}: {', '.join(written)}", markup=False)
    return 0


def _write(rows: LcpRows, out: Path) -> list[str]:
    """Writes all rows that there are, and returns the names of the files."""
    from parsl_tl.benchmarks.core.report import write_machine_facts, write_rows

    written = []
    for name, own in zip(("lcp", "openings", "processes"), rows, strict=True):
        if own:
            written += [path.name for path in write_rows(own, out, name)]
    return [*written, write_machine_facts(out).name]


def _settings(args: argparse.Namespace) -> LcpSettings:
    from parsl_tl.benchmarks.lcp import LcpSettings

    settings = LcpSettings.quick() if args.quick else LcpSettings()
    given: dict[str, Any] = {
        name: value
        for name in ("queries", "agreement", "folder")
        if (value := getattr(args, name)) is not None
    }
    for name in ("sizes", "methods"):
        if getattr(args, name) is not None:
            given[name] = tuple(getattr(args, name))
    if args.agreement is None and args.queries is not None:
        # Who asks for fewer queries does not have to say so twice.
        given["agreement"] = max(1, min(settings.agreement, args.queries))
    return replace(settings, seed=args.seed, **given)
