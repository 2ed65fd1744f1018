"""``parsl-tl bench``: measures the store and more on this machine, beside other ways."""

from __future__ import annotations

import argparse
from typing import Any

from parsl_tl.cli.bench_all import add_all_bench
from parsl_tl.cli.bench_generate import add_generate_bench
from parsl_tl.cli.bench_lcp import add_lcp_bench
from parsl_tl.cli.bench_remote import add_remote_bench
from parsl_tl.cli.bench_store import add_store_bench

_EXAMPLES = """\
examples:
  parsl-tl bench all
  parsl-tl bench lcp --quick
  parsl-tl bench store --quick
  parsl-tl bench remote --quick
  parsl-tl bench generate --quick
"""


def add_bench_command(subparsers: Any) -> None:
    """Adds the command and its actions to the program's parser."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the store on this machine, beside other ways",
        description=(
            "Measures our way and others in one run, shows tables, and writes rows, plots and the\n"
            "machine's facts into a folder."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_all_bench(actions)
    add_lcp_bench(actions)
    add_store_bench(actions)
    add_remote_bench(actions)
    add_generate_bench(actions)
