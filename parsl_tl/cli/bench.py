"""``parsl-tl bench``: measures the store and more on this machine, beside other ways."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from parsl_tl.arguments import ArgumentParser

_EXAMPLES = """\
examples:
  parsl-tl bench all
  parsl-tl bench lcp --quick
  parsl-tl bench store --quick
  parsl-tl bench remote --quick
  parsl-tl bench generate --quick
"""


def add_bench_command(subparsers: Any) -> None:
    """Adds the command to the program's parser; its actions are added when it is used."""
    kind, subparsers._parser_class = subparsers._parser_class, BenchParser
    subparsers.add_parser(
        "bench",
        help="measure the store on this machine, beside other ways",
        description=(
            "Measures our way and others in one run, shows tables, and writes rows, plots and the\n"
            "machine's facts into a folder."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        from parsl_tl.cli.bench_all import add_all_bench

        actions = self.add_subparsers(
            dest="action", required=True, metavar="ACTION", parser_class=ArgumentParser
        )
        add_all_bench(actions)
        for suite in all_suites():
            lines = [f"  parsl-tl bench {suite.name} {options}" for options in suite.examples]
            action = actions.add_parser(
                suite.name,
                help=suite.text,
                description=suite.description or suite.text,
                epilog="\n".join(("examples:", *lines)) if lines else None,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            add_arguments(suite, action)
            action.set_defaults(run=partial(run_suite, suite))
