"""``parsl-tl spaces NAME --problem PROBLEM``: what becomes of random architectures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.errors import InvalidValueError

if TYPE_CHECKING:
    from parsl_tl.training.space_trial import SpaceTrial


def run_space_trial(args: argparse.Namespace) -> int:
    """Tries a space for a problem; returns 1 if an architecture failed that should exist.

    Raises:
        InvalidValueError: no space is named.
    """
    if args.name is None:
        raise InvalidValueError(
            f"no space is named that could be tried for {args.problem!r}; write "
            f"parsl-tl spaces NAME --problem {args.problem}"
        )
    from parsl_tl.problems import get_problem
    from parsl_tl.spaces import get_space
    from parsl_tl.spaces.registry import arguments_for
    from parsl_tl.training.space_trial import try_space

    problem = get_problem(args.problem, **parse_pairs(args.problem_arg))
    given = arguments_for(args.name, parse_pairs(args.arg), problem.input_shape)
    trial = try_space(problem, get_space(args.name, **given), args.draws, seed=args.seed)
    _print(args, trial)
    return 1 if trial.failed else 0


def _print(args: argparse.Namespace, trial: SpaceTrial) -> None:
    from rich.table import Table

    from parsl_tl.reporting.console import make_console

    table = Table("architectures", "how many", title=f"{args.name} for {args.problem}")
    table.add_column("why", overflow="fold")
    table.add_row("drawn", str(trial.drawn), "")
    table.add_row("built", str(trial.built), "")
    table.add_row("trained with one batch", str(trial.trained), "")
    for what, reasons in (("impossible", trial.impossible), ("failed", trial.failed)):
        for reason, count in reasons.most_common():
            table.add_row(what, str(count), reason)
    make_console().print(table)
