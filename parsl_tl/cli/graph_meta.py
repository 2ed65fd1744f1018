"""``parsl-tl graph-meta``: the metadata service on MPI."""

from __future__ import annotations

import argparse
from typing import Any


def add_graph_meta_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    # Nothing begins an option here: the first rank reads the arguments, for all of them.
    parser = subparsers.add_parser(
        "graph-meta",
        help="measure the metadata service, on all ranks of mpiexec",
        add_help=False,
        prefix_chars="\0",
    )
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.graph_meta.program import main

    return main(args.arguments, prog="parsl-tl graph-meta")
