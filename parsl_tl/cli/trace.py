"""``parsl-tl trace``: who did what when, as a timeline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.reporting.sizes import counted

if TYPE_CHECKING:
    from parsl_tl.report.trace import TraceReport

_EXAMPLES = """\
examples:
  parsl-tl search --problem digits --space dense-skip --trace --out runs/demo
  parsl-tl trace runs/demo
  parsl-tl trace runs/demo /scratch/server-events -o demo.perfetto-trace
"""


def add_trace_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "trace",
        help="who did what when, as a timeline",
        description="Merge what the processes of a search with --trace recorded, correct the "
        "clocks of their nodes, and write a timeline, which https://ui.perfetto.dev shows: the "
        "file is opened in the browser, and sent nowhere. It may be written while the search runs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="folder of a search")
    parser.add_argument(
        "others",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        help="where servers recorded, if not in RUN/events (store serve --trace FOLDER)",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="the timeline (default: run.perfetto-trace in RUN)",
    )
    parser.set_defaults(run=_trace)


def _trace(args: argparse.Namespace) -> int:
    from parsl_tl.events.process_facts import FOLDER
    from parsl_tl.report.trace import SUFFIX, write_trace
    from parsl_tl.reporting.console import make_console, print_files

    out = args.out or args.folder / f"run{SUFFIX}"
    own = [args.folder / FOLDER] if (args.folder / FOLDER).is_dir() else []
    report = write_trace([*own, *args.others], out, run=args.folder)
    for line in _lines(report):
        print(line)
    print_files(make_console(), [report.path])
    return 0


def _lines(report: TraceReport) -> list[str]:
    """Says what was merged, and how sure its times are."""
    lines = [
        f"{counted(report.spans, 'span')} of {counted(report.processes, 'process')} on "
        f"{counted(len(report.clocks), 'node')}, {counted(report.arrows, 'transfer')} from donors"
    ]
    for host, clock in sorted(report.clocks.items()):
        if clock.uncertainty is None:
            lines.append(f"the clock of {host} could not be compared with others")
        elif clock.nanoseconds:
            lines.append(
                f"the clock of {host} was corrected by {clock.nanoseconds / 1e6:+.3f} ms, "
                f"which is right to {clock.uncertainty / 1e6:.3f} ms"
            )
    if not report.clocks_agree:
        lines.append(
            "a clock was set, or went wrong, meanwhile: spans of its node may be displaced"
        )
    if report.torn:
        lines.append(
            f"{counted(report.torn, 'line')} cut off as their writers were killed, or as they write"
        )
    return lines
