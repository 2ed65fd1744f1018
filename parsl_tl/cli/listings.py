"""``parsl-tl spaces | problems``: what can be named."""

from __future__ import annotations

import argparse
import math
from typing import Any

from parsl_tl.arguments import positive_int
from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.cli.space_trial import run_space_trial
from parsl_tl.reporting.sizes import counted


def add_listing_commands(subparsers: Any) -> None:
    """Adds the two commands to the program's parser."""
    spaces = subparsers.add_parser(
        "spaces",
        help="list search spaces, show the choices of one, or try it for a problem",
        epilog="examples: parsl-tl spaces dense-skip --arg num_layers=10; "
        "parsl-tl spaces lenet --problem digits --problem-arg flat=False --draws 20",
    )
    spaces.add_argument("name", nargs="?", help="show the choices of this space")
    spaces.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", help="its argument; repeatable"
    )
    spaces.add_argument(
        "--problem",
        help="draw architectures for this problem, build them, train each with one batch, and "
        "count what fails and why; exit code 1 if something does",
    )
    spaces.add_argument(
        "--problem-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the problem; repeatable",
    )
    spaces.add_argument("--draws", type=positive_int, default=50, help="architectures to try (50)")
    spaces.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    spaces.set_defaults(run=_spaces)
    problems = subparsers.add_parser("problems", help="list problems")
    problems.set_defaults(run=_problems)


def _spaces(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from parsl_tl.spaces import get_space, list_spaces

    if args.problem is not None:
        return run_space_trial(args)
    if args.name is None:
        table = Table("space", "choices", "architectures", title="Search spaces")
        for name in list_spaces():
            space = get_space(name)
            table.add_row(name, str(len(space.choices())), _count(space.size()))
    else:
        space = get_space(args.name, **parse_pairs(args.arg))
        table = Table(
            "choice",
            "values",
            "which",
            title=(
                f"{args.name}: {counted(len(space.choices()), 'choice')}, "
                f"{_count(space.size())} architectures"
            ),
        )
        for choice in space.choices():
            shown = [str(value) for value in choice.values]
            if len(shown) > 4:
                shown = [*shown[:2], "...", shown[-1]]
            table.add_row(choice.name, str(len(choice.values)), ", ".join(shown))
    Console().print(table)
    return 0


def _count(size: int) -> str:
    """Returns a number in short, also one that no float can hold."""
    return f"{size:.3g}" if size < 10**300 else f"1e+{math.floor(math.log10(size))}"


def _problems(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from parsl_tl.problems import describe_problem, list_problems

    table = Table("problem", "arguments", title="Problems")
    table.add_column("what it is", overflow="fold")
    for name in list_problems():
        about = describe_problem(name)
        table.add_row(name, ", ".join(about.arguments), about.summary)
    Console().print(table)
    return 0
