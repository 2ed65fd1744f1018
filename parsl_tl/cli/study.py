"""``parsl-tl study``: whether transfer helps, measured."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.arguments import positive_int
from parsl_tl.cli.config_options import add_config_options, config_of
from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.errors import InvalidValueError
from parsl_tl.stop_signals import stopping_in_order

if TYPE_CHECKING:
    from parsl_tl.study import StudySettings

_EXAMPLES = """\
examples:
  parsl-tl study --problem digits --space dense-skip --max-evals 40 --seeds 0 1 2 --out runs/study
  parsl-tl study --cases cases.toml --policies freeze thaw:2 shrink:0.9 --out runs/study

A file of cases is TOML: the options above by their names, with _ for -, and a table [[cases]] for
each case, with name, problem, space, problem_args, space_args, training, search, max_evals.
"""


def add_study_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "study",
        help="compare ways to inherit weights with searches from scratch, at equal CPU seconds",
        description="Answer whether transfer helps on a problem: search with each inheritance "
        "policy and each seed, from the same random starts, until the processor seconds are spent "
        "that the search from scratch took; test the winners as found, and trained fully from "
        "inherited weights and from scratch; train children twice to see whether their ranking is "
        "fair. Writes tables, plots and one page, study.html. The same command carries on a study "
        "that was interrupted; with more cases, policies, peers or seeds it adds to it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is compared")
    what.add_argument("--cases", type=Path, metavar="FILE", help="several cases, as TOML")
    what.add_argument("--problem", help="of a single case; see `parsl-tl problems`")
    what.add_argument("--space", help="of a single case; see `parsl-tl spaces`")
    for option, text in (
        ("--problem-arg", "an argument of the problem"),
        ("--space-arg", "an argument of the space"),
        ("--train", "a training option by name, such as epochs=6"),
    ):
        what.add_argument(
            option, action="append", default=[], metavar="NAME=VALUE", help=f"{text}; repeatable"
        )
    what.add_argument(
        "--policies",
        nargs="+",
        metavar="POLICY",
        help="freeze, freeze:0.5, thaw:2, thaw-down:1, slow:0.1, shrink:0.9 or module:Class of "
        "your own (freeze shrink:0.9); scratch is always there",
    )
    what.add_argument(
        "--peers",
        nargs="+",
        metavar="PEER",
        help="searches of other libraries to compare with, from scratch at the same CPU seconds: "
        "deephyper-evolution, optuna-tpe, keras-tuner-random, keras-tuner-bayesian (none)",
    )
    what.add_argument("--seeds", type=int, nargs="+", metavar="N", help="one search each (0 to 4)")
    what.add_argument("--max-evals", type=positive_int, help="evaluations of each search (48)")
    what.add_argument(
        "--most-evals",
        type=float,
        metavar="TIMES",
        help="evaluations of a search that has processor seconds left, as a multiple (4)",
    )
    what.add_argument(
        "--retrain-epochs", type=int, help="epochs of each winner's full training; 0 for none (20)"
    )
    what.add_argument(
        "--children", type=int, help="children of each policy to train twice; 0 for none (30)"
    )
    what.add_argument("--confidence", type=float, help="of the intervals (0.9)")
    where = parser.add_argument_group("where")
    where.add_argument("--out", type=Path, required=True, help="the study's folder")
    add_config_options(where)
    parser.set_defaults(run=_study)


def _study(args: argparse.Namespace) -> int:
    from parsl_tl.reporting.console import make_console, print_files, show_progress
    from parsl_tl.reporting.tables import print_table
    from parsl_tl.study import Study
    from parsl_tl.study.report import sentences, short_tables, write_report

    console = make_console()
    study = Study(args.out, _settings(args))
    with stopping_in_order(), show_progress(console, "study") as show:
        study.run(config_of(args), max_workers=args.workers, told=show)
    for title, table in short_tables(study):
        print_table(title, table, console)
    for line in sentences(study):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    print_files(console, write_report(study))
    return 0


def _settings(args: argparse.Namespace) -> StudySettings | None:
    """Returns the settings that were given; None where none were."""
    from parsl_tl.study import StudySettings

    names = {field.name for field in fields(StudySettings)} - {"cases"}
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    case = {
        "problem": args.problem,
        "space": args.space,
        "problem_args": parse_pairs(args.problem_arg),
        "space_args": parse_pairs(args.space_arg),
        "training": parse_pairs(args.train),
    }
    case = {name: value for name, value in case.items() if value}
    if args.cases is not None:
        if case:
            raise InvalidValueError(
                f"--cases names all cases; leave {', '.join(case)} out, or write them into the file"
            )
        return StudySettings.read(args.cases, **given)
    if not case and not given:
        return None
    for name in ("problem", "space"):
        if name not in case:
            raise InvalidValueError(f"--{name} is needed, or a file of --cases")
    return StudySettings.of({**given, "cases": [{"name": case["problem"], **case}]})
