"""``parsl-tl bench``: measures the store on this machine, beside other ways."""

from __future__ import annotations

import argparse
from typing import Any

from parsl_tl.cli.bench_lcp import add_lcp_bench
from parsl_tl.cli.bench_store import add_store_bench

_EXAMPLES = """\
examples:
  parsl-tl bench lcp --quick
  parsl-tl bench store --quick
"""


def add_bench_command(subparsers: Any) -> None:
    """Adds the command and its actions to the program's parser."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the store on this machine, beside other ways",
        description=(
            "Measures the store and other ways in one run, shows tables, and writes rows, plots\n"
            "and the machine's facts into a folder."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_lcp_bench(actions)
    add_store_bench(actions)
