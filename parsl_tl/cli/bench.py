"""``parsl-tl bench``: measures the store and more on this machine, beside other ways."""

from __future__ import annotations

import argparse
import importlib
from typing import Any, Final

# Modules with a SUITE, loaded when one is asked for, and what help says of them until then.
_SUITES: Final = {
    "transfer": ("transfer", "every transfer method, with the same models, from many workers"),
    "writes": ("writes", "saving a model from many processes at once, in every format"),
    "save": ("save_load", "saving and loading whole models in file formats"),
    "load": ("layer_loads", "reading some of a model's layers, from every format"),
    "lcp": ("prefix", "finding the longest common prefix, beside walking every graph"),
    "store": ("store", "writing and reading models, beside files, HDF5, safetensors, Redis"),
    "remote": ("remote", "a store on servers, beside the transport alone, Redis, HDF5"),
    "generate": ("generate", "generating populations, beside building each model with Keras"),
    "freeze": ("freezing", "freezing and unfreezing layers in Keras 3, lesson by lesson"),
}
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
    from parsl_tl.cli.bench_all import add_all_bench

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
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=_SuiteParser
    )
    add_all_bench(actions)
    for name, (module, text) in _SUITES.items():
        action = actions.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        action.module, action.text = module, text


class _SuiteParser(argparse.ArgumentParser):
    """A suite's parser, which loads the suite when it is used: other commands do without."""

    module = text = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Adds the suite's options first."""
        if not self.module:
            return super().parse_known_args(args, namespace)
        from parsl_tl.benchmarks.core.suite import Suite, add_arguments, run_suite

        suite: Suite = importlib.import_module(f"parsl_tl.benchmarks.suites.{self.module}").SUITE
        self.description = suite.description or self.text
        lines = [f"  parsl-tl bench {suite.name} {options}" for options in suite.examples]
        self.epilog = "\n".join(("examples:", *lines)) if lines else None
        add_arguments(suite, self)
        self.set_defaults(run=lambda args: run_suite(suite, args))
        return super().parse_known_args(args, namespace)
