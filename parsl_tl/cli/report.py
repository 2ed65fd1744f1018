"""``parsl-tl report``: what a search did, as a page and as figures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from parsl_tl.cli.tracker_options import add_tracker_options, trackers_of

_EXAMPLES = """\
examples:
  parsl-tl report runs/demo
  parsl-tl report runs/transfer-0 runs/transfer-1 runs/scratch-0 --out compared.html
  parsl-tl report runs/demo --figures figures --formats svg csv
  parsl-tl report runs/demo --tensorboard logs --mlflow sqlite:///runs.db
"""


def add_report_commands(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    report = subparsers.add_parser(
        "report",
        help="what a search did, as one page and as figures",
        description="Write one HTML page of one search, or of several that are compared: the best "
        "value over time, workers, steps, transfers, lineage, failures, settings. The page needs "
        "nothing else and asks nobody; it may be written while the search runs. Runs that differ "
        "in nothing but the seed are drawn as a mean and a band.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_runs(report)
    report.add_argument("--out", type=Path, help="the page (default: report.html in the first RUN)")
    report.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="write each view as files, too"
    )
    report.add_argument(
        "--formats",
        nargs="+",
        choices=("svg", "png", "csv"),
        default=["svg", "png", "csv"],
        help="of these files (default: all)",
    )
    add_tracker_options(report, "from its folder; again, with what is new, when it has gone on")
    report.set_defaults(run=_report)


def add_runs(parser: Any) -> None:
    """Adds the arguments that say which runs to show."""
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of a search")
    parser.add_argument(
        "--target",
        type=float,
        action="append",
        metavar="OBJECTIVE",
        help="tell when this value was reached; repeatable (default: shares of the way to the best "
        "value that all runs reached)",
    )


def _report(args: argparse.Namespace) -> int:
    from parsl_tl.report.figures import write_figures
    from parsl_tl.report.page import report_page
    from parsl_tl.report.run import RunReader
    from parsl_tl.reporting.console import make_console, print_files
    from parsl_tl.reporting.files import prepare_file, prepare_folder, replace_file

    trackers = trackers_of(args)
    readers = [RunReader(folder) for folder in args.runs]
    # Before runs are read, which may take seconds.
    out = None if args.out is None else prepare_file(args.out, (".html",))
    if args.figures is not None:
        prepare_folder(args.figures, "--figures")
    for reader in readers:
        reader.read()
    runs = [reader.run() for reader in readers]
    out = out or prepare_file(runs[0].folder / "report.html", (".html",))
    files = []
    if args.figures is not None:
        files = write_figures(runs, args.figures, args.formats, args.target)
    text = report_page(runs, args.target)
    files.insert(0, replace_file(out, lambda partial: partial.write_text(text, encoding="utf-8")))
    shown = files if len(files) < 2 else [files[0], args.figures]
    if trackers:
        from parsl_tl.tracking.replay import replay_run

        for folder in args.runs:
            replay_run(folder, trackers)
    print_files(make_console(), [*shown, *_places(args)])
    return 0


def _places(args: argparse.Namespace) -> list[Path]:
    """Returns where trackers find the runs."""
    return [Path(one) for one in (args.tensorboard, args.mlflow) if one and "://" not in str(one)]
