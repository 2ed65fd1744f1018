"""``parsl-tl status``: how far searches are, from their folders alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.report.run import Run

_EXAMPLES = """\
examples:
  parsl-tl status runs/demo
  watch -n 10 parsl-tl status /scratch/me/runs/*
"""


def add_status_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "status",
        help="how far a search is, what its workers do, and why evaluations failed",
        description="Tell how far searches are, what their nodes and workers do and did, and why "
        "evaluations failed, each reason with one message. It reads the folders of the runs and "
        "nothing else: it works on a login node, while they run and afterwards.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of a search")
    parser.set_defaults(run=_status)


def _status(args: argparse.Namespace) -> int:
    from parsl_tl.report.run import read_run
    from parsl_tl.reporting.console import make_console
    from parsl_tl.reporting.tables import print_table

    console = make_console()
    for folder in args.runs:
        run = read_run(folder)
        for title, table in status_tables(run):
            if len(table):
                print_table(f"{folder}: {title}", table, console)
    return 0


def status_tables(run: Run) -> list[tuple[str, pd.DataFrame]]:
    """Returns titles and tables: how far it is, nodes, what is under way, and what went wrong."""
    import pandas as pd

    from parsl_tl.report import views
    from parsl_tl.report.incidents import incident_table
    from parsl_tl.report.page import facts

    how_far = pd.DataFrame(facts(run), columns=["", "value", "more"])
    workers = views.workers(run)
    workers["node"] = workers["worker"].str.replace(r"( block .*|:\d+)$", "", regex=True)
    nodes = workers.groupby("node", sort=True).agg(
        workers=("worker", "size"),
        evaluations=("evaluations", "sum"),
        failed=("failed", "sum"),
        busy=("busy", "mean"),
    )
    under_way = run.running[["job", "lane", "step"]].fillna("-")
    failed = views.failures(run)
    reasons = failed.groupby("reason", sort=False).agg(
        times=("job", "size"), latest=("job", "max"), message=("message", "last")
    )
    return [
        ("how far it is", how_far),
        ("sites", views.sites(run).set_index("site")),
        ("nodes", nodes),
        ("under way", under_way.rename(columns={"job": "evaluation", "lane": "worker"})),
        ("failed", reasons),
        ("workers, blocks and the store", incident_table(run).set_index("what")),
    ]
