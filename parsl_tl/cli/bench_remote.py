"""``parsl-tl bench remote``: how fast a store on servers is, beside the transport alone."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.cli.bench_output import make_console, make_out, show_progress
from parsl_tl.errors import BenchmarkError

if TYPE_CHECKING:
    from parsl_tl.benchmarks.remote_settings import RemoteSettings

_METHODS = ("memcpy", "bare", "redis", "hdf5", "embedded", "store")
_TRANSPORTS = ("grpc+tcp", "grpc+unix", "ofi+tcp", "na+sm")
_EXAMPLES = """\
examples:
  parsl-tl bench remote --quick
  parsl-tl bench remote --transports ofi+tcp --sizes 256 --clients 1 --providers 1
"""


def add_remote_bench(subparsers: Any) -> None:
    """Adds ``remote`` to the actions of ``parsl-tl bench``."""
    parser = subparsers.add_parser(
        "remote",
        help="a store on servers, beside the transport alone, Redis, HDF5",
        description=(
            "Starts servers on this machine, puts and gets models over the network and by mapping\n"
            "the servers' files, asks for the longest common prefix, with one client and several,\n"
            "one server and several; beside the same bytes by the transport alone, by Redis, as\n"
            "HDF5, and by the store without a server. Takes some minutes for each transport."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", default="bench/remote", metavar="FOLDER", help="results (default: bench/remote)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small models, one server, about a minute"
    )
    parser.add_argument(
        "--sizes", nargs="+", type=float, metavar="MB", help="per model (default: 1 16 256)"
    )
    parser.add_argument(
        "--clients", nargs="+", type=int, metavar="N", help="at once (default: 1 2 4 8)"
    )
    parser.add_argument(
        "--providers", nargs="+", type=int, metavar="N", help="servers (default: 1 2 4)"
    )
    parser.add_argument(
        "--transports",
        nargs="+",
        choices=_TRANSPORTS,
        metavar="SCHEME",
        help=f"of {', '.join(_TRANSPORTS)} (default: all that are compiled in)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=_METHODS,
        metavar="METHOD",
        help=f"of {', '.join(_METHODS)} (default: all that are installed)",
    )
    parser.add_argument(
        "--models", type=int, metavar="N", help="that are searched for prefixes (default: 10000)"
    )
    parser.add_argument(
        "--catalogs",
        nargs="*",
        type=int,
        metavar="N",
        help="models of small catalogs, beside a walk over all graphs (default: 1 10 100 1000)",
    )
    parser.add_argument(
        "--queries", type=int, metavar="N", help="of each kind, for latencies (default: 2000)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="where the servers' temporary folders go (default: /dev/shm)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.benchmarks.core.report import print_table, write_machine_facts, write_rows
    from parsl_tl.benchmarks.remote import run_remote_bench
    from parsl_tl.benchmarks.remote_plots import save_plots
    from parsl_tl.benchmarks.remote_report import summary_tables
    from parsl_tl.benchmarks.remote_settings import check
    from parsl_tl.benchmarks.remote_targets import target_rows

    console = make_console()
    # Before anything takes time: a wrong value, or a folder for results that cannot be.
    settings = check(_settings(args))
    out = make_out(Path(args.out))
    for what, reason in _left_out(args, settings).items():
        console.print(f"without {what}: {reason}", markup=False)
    with show_progress(console, "servers") as progress:
        rows = run_remote_bench(settings, progress)
    targets = target_rows(rows.moved, rows.latencies, rows.small)
    written = []
    for name, own in (
        ("remote", rows.moved),
        ("remote_latency", rows.latencies),
        ("remote_small", rows.small),
        ("remote_targets", targets),
    ):
        if own:
            written += [path.name for path in write_rows(own, out, name)]
    written.append(write_machine_facts(out).name)
    for title, table in summary_tables(rows.moved, rows.latencies, rows.small):
        print_table(title, table, console)
    if targets:
        print_table("what it should reach, as ratios within this run", targets, console)
    try:
        plots = len(save_plots(rows.moved, rows.latencies, out))
    except BenchmarkError as error:
        plots = 0
        console.print(str(error), markup=False)
    console.print(f"{out}: {', '.join(written)}, {plots} plots", markup=False)
    return 0


def _left_out(args: argparse.Namespace, settings: RemoteSettings) -> dict[str, str]:
    """Returns what will not be measured because it is not there, with the reason."""
    from parsl_tl.benchmarks.remote_settings import (
        bare_missing,
        missing_methods,
        missing_transports,
    )

    missing: dict[str, str] = {}
    if args.transports is None:
        missing.update(missing_transports())
    if args.methods is None:
        missing.update(missing_methods())
    for scheme in settings.transports or ():
        reason = bare_missing(scheme)
        if reason is not None and "bare" in (args.methods or ["bare"]):
            missing[f"bare {scheme}"] = reason
    return missing


def _settings(args: argparse.Namespace) -> RemoteSettings:
    from parsl_tl.benchmarks.remote_settings import RemoteSettings

    settings = RemoteSettings.quick() if args.quick else RemoteSettings()
    given: dict[str, Any] = {
        name: value
        for name in ("models", "queries", "folder")
        if (value := getattr(args, name)) is not None
    }
    for name in ("sizes", "clients", "providers", "catalogs", "transports", "methods"):
        if getattr(args, name) is not None:
            given[name] = tuple(getattr(args, name))
    return replace(settings, seed=args.seed, **given)
