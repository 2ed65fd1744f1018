"""The program ``parsl-tl``: its commands, and what becomes of errors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import parsl_tl
from parsl_tl.arguments import ArgumentParser
from parsl_tl.cli.analyze import add_analyze_command
from parsl_tl.cli.bench import add_bench_command
from parsl_tl.cli.configs import add_configs_command
from parsl_tl.cli.dashboard import add_dashboard_command
from parsl_tl.cli.data import add_data_command
from parsl_tl.cli.export import add_export_command
from parsl_tl.cli.generate import add_generate_command
from parsl_tl.cli.graph_meta import add_graph_meta_command
from parsl_tl.cli.listings import add_listing_commands
from parsl_tl.cli.report import add_report_commands
from parsl_tl.cli.retrain import add_retrain_commands
from parsl_tl.cli.search import add_search_command
from parsl_tl.cli.status import add_status_command
from parsl_tl.cli.store import add_store_command
from parsl_tl.cli.study import add_study_command
from parsl_tl.cli.trace import add_trace_command
from parsl_tl.exit_codes import run_program
from parsl_tl.lazy_imports import load_lazily
from parsl_tl.rare_collection import collect_rarely


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole program."""
    parser = ArgumentParser(
        prog="parsl-tl",
        description="Neural architecture search with transfer learning, as Parsl tasks.",
        epilog="example: parsl-tl search --problem digits --space dense-skip --out runs/demo",
    )
    parser.add_argument("--version", action="version", version=f"parsl-tl {parsl_tl.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_search_command(commands)
    add_retrain_commands(commands)
    add_export_command(commands)
    add_status_command(commands)
    add_report_commands(commands)
    add_dashboard_command(commands)
    add_trace_command(commands)
    add_study_command(commands)
    add_data_command(commands)
    add_store_command(commands)
    add_generate_command(commands)
    add_analyze_command(commands)
    add_graph_meta_command(commands)
    add_bench_command(commands)
    add_listing_commands(commands)
    add_configs_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        argv: arguments; those of the process when None.

    Returns:
        0; 1 when a check found problems; 2 for an error, told in one line on standard error; and
        what else `parsl-tl search --help` tells.
    """
    load_lazily()
    collect_rarely()
    args = build_parser().parse_args(argv)
    return run_program(lambda: int(args.run(args)), "parsl-tl")
