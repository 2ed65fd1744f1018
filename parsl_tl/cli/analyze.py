"""``parsl-tl analyze``: what models have in common, and what evolution did with transfer."""

from __future__ import annotations

import argparse
import importlib
from typing import Any, Final

from parsl_tl.arguments import ArgumentParser
from parsl_tl.exit_codes import run_program

# Each is a module beside this one, loaded when it is asked for.
_ANALYSES: Final = {
    "prefix": "what two models have in common: names, the common prefix, and a picture",
    "birthday": "how many layers are expected to transfer from the best of n stored models",
    "evolution": "prefixes, donors and lineages of a search or of a generated population",
}


def add_analyze_command(subparsers: Any) -> None:
    """Adds the command and its actions to the program's parser."""
    parser = subparsers.add_parser(
        "analyze",
        help="prefixes of two models, expected transfer, or what evolution did",
        description="Looks at models, search spaces, searches and populations.",
        epilog="example: parsl-tl analyze evolution runs/demo --out runs/analysis",
    )
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=_AnalysisParser
    )
    for name, text in _ANALYSES.items():
        action = actions.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        action.analysis = name


def run_script(name: str) -> int:
    """Runs an analysis as a program of its own, with the process's arguments.

    Args:
        name: of the analysis.

    Returns:
        The exit code.
    """
    parser = _AnalysisParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.analysis = name
    args = parser.parse_args()
    return run_program(lambda: int(args.run(args)))


class _AnalysisParser(ArgumentParser):
    """The parser of an analysis, which is loaded when it is used: other commands do without."""

    analysis = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Adds the analysis's arguments first."""
        module = importlib.import_module(f"parsl_tl.cli.analyze_{self.analysis}")
        self.description = module.__doc__
        module.add_arguments(self)
        self.set_defaults(run=module.run)
        return super().parse_known_args(args, namespace)
