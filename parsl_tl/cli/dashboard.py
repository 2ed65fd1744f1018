"""``parsl-tl dashboard``: what a search is doing, in a browser."""

from __future__ import annotations

import argparse
from typing import Any

from parsl_tl.cli.report import add_runs
from parsl_tl.stop_signals import stopping_in_order

_EXAMPLES = """\
examples:
  parsl-tl dashboard runs/demo
  parsl-tl dashboard runs/transfer runs/scratch --port 8800
"""


def add_dashboard_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "dashboard",
        help="what a search is doing, live in a browser",
        description="Serve the page of `parsl-tl report` to a browser, and keep it up to date "
        "while the search goes on. It is read from the folders of the runs, wherever these are "
        "searched, and works after their end too. The server listens on this machine alone and "
        "answers to nobody who lacks the token in the address that it prints. Ctrl-C ends it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_runs(parser)
    parser.add_argument("--port", type=int, default=0, help="to listen at (default: a free one)")
    parser.set_defaults(run=_dashboard)


def _dashboard(args: argparse.Namespace) -> int:
    from parsl_tl.report.dashboard import Dashboard

    with stopping_in_order(), Dashboard(args.runs, port=args.port, wanted=args.target) as board:
        print(f"Open {board.address}", flush=True)
        print(f"From another machine, first run there: {board.tunnel}", flush=True)
        try:
            board.serve()
        except KeyboardInterrupt:
            print("ended", flush=True)
    return 0
