"""``parsl-tl bench``: measures the store and more on this machine, beside other ways."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from parsl_tl.arguments import ArgumentParser
from parsl_tl.errors import BenchmarkError

_RAW: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
_DESCRIPTION = """\
Measures our way and others in one run, shows tables, and writes rows, plots and the
machine's facts into a folder."""
_EXAMPLES = """\
examples:
  parsl-tl bench all
  parsl-tl bench lcp --quick
  parsl-tl bench store --quick
  parsl-tl bench remote --quick
  parsl-tl bench generate --quick
"""
_ALL = """\
Is the store worth it on this machine? Runs every benchmark in a small size, five
minutes in all, and renders one page with the tables and plots."""
_ALL_EXAMPLES = """\
examples:
  parsl-tl bench all
  parsl-tl bench all --only transfer writes --folder /lustre/me --out bench/lustre
"""


def add_bench_command(subparsers: Any) -> None:
    """Adds the command to the program's parser; its actions are added when it is used."""
    kind, subparsers._parser_class = subparsers._parser_class, BenchParser
    text = "measure the store on this machine, beside other ways"
    subparsers.add_parser("bench", help=text, description=_DESCRIPTION, epilog=_EXAMPLES, **_RAW)
    subparsers._parser_class = kind


class BenchParser(ArgumentParser):
    """A parser that loads the suites when it is used: other commands do without them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Adds an action for each suite first."""
        self.add_actions()
        return super().parse_known_args(args, namespace)

    def add_actions(self) -> None:
        """Adds ``all`` and an action for each suite, once."""
        if self._subparsers is not None:
            return
        from parsl_tl.benchmarks.core.suite import add_arguments, all_suites, run_suite

        actions = self.add_subparsers(
            dest="action", required=True, metavar="ACTION", parser_class=ArgumentParser
        )
        _add_all(actions)
        for suite in all_suites().values():
            lines = [f"  parsl-tl bench {suite.name} {options}" for options in suite.examples]
            epilog = "\n".join(("examples:", *lines)) if lines else None
            texts: dict[str, Any] = {
                "description": suite.description or suite.text,
                "epilog": epilog,
            }
            action = actions.add_parser(suite.name, help=suite.text, **texts, **_RAW)
            add_arguments(suite, action)
            action.set_defaults(run=partial(run_suite, suite))


def _add_all(subparsers: Any) -> None:
    text = "a small run of every benchmark, and one page with all results"
    texts: dict[str, Any] = {"help": text, "description": _ALL, "epilog": _ALL_EXAMPLES}
    parser = subparsers.add_parser("all", **texts, **_RAW)
    parser.add_argument(
        "--out", default="bench/all", metavar="FOLDER", help="results (default: bench/all)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="run these benchmarks only"
    )
    text = "file system that is measured (default: what each benchmark prefers)"
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help=text)
    parser.set_defaults(run=_run_all)


def _run_all(args: argparse.Namespace) -> int:
    from parsl_tl.benchmarks.core.every_benchmark import run_benchmarks, write_page
    from parsl_tl.reporting.console import make_console, make_out, show_progress
    from parsl_tl.stop_signals import stopping_in_order

    if args.folder is not None and not args.folder.is_dir():
        raise BenchmarkError(f"{args.folder} is no folder; name another one with --folder")
    console, out = make_console(), make_out(Path(args.out)).resolve()
    folder = None if args.folder is None else args.folder.resolve()
    with stopping_in_order(), show_progress(console, "benchmarks") as progress:
        runs = run_benchmarks(args.only, out, folder, progress)
    page = write_page(runs, out / "report.html")
    states = [f"failed: {run.problem}" if run.problem else f"{run.seconds:.0f} s" for run in runs]
    lines = [f"{run.suite.title}: {state}" for run, state in zip(runs, states, strict=True)]
    for line in (*lines, f"Page: {page}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 1 if any(run.problem for run in runs) else 0
