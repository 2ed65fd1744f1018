"""How many layers are expected to transfer? The longest prefix with the best of n stored models.

    parsl-tl analyze birthday --space feed-forward --out runs/birthday
    parsl-tl analyze birthday --space dense-skip --space-arg num_layers=10 --out runs/skip
    parsl-tl analyze birthday --population runs/population --out runs/measured
    parsl-tl analyze birthday --options 2 --choices 20 --out runs/choices

As in the birthday problem, a new architecture hardly ever equals one particular stored one, but
soon one of many. Three ways lead to the answer: the closed form, where choices in sequence are
independent (feed-forward, --options); Monte Carlo, for any space: populations are drawn, or
evolved by aging evolution, and new candidates meet them; and measuring on a generated population.

Intervals are Student's, over independent populations; where candidates met one population only,
the table says so. Layers count with the input layer, which all models share. Evolution in the
trials selects by a made-up fitness, so that its members resemble each other; a generated
population that was mutated without selection is met by random candidates as a random one is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from parsl_tl import get_space
from parsl_tl.analysis.architecture_source import ArchitectureSource, SequentialSource, SpaceSource
from parsl_tl.analysis.birthday_measured import measured_lengths
from parsl_tl.analysis.birthday_plots import plot_expected, plot_probabilities
from parsl_tl.analysis.birthday_tables import (
    MEASURED,
    MONTE_CARLO,
    agreement,
    expected_table,
    probability_table,
)
from parsl_tl.analysis.birthday_trials import Lengths, evolved_trials, random_trials
from parsl_tl.analysis.closed_form import ClosedForm, SequentialForm, closed_form
from parsl_tl.analysis.confidence import check_confidence
from parsl_tl.analysis.population_source import Population, load_population
from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.errors import InvalidValueError, SpaceError
from parsl_tl.reporting.console import make_console, print_files, show_progress
from parsl_tl.reporting.files import prepare_folder, write_table

SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000)
MOST_EVOLVED_VALUES = 127


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    what = parser.add_argument_group("what is drawn from")
    what.add_argument("--space", default="feed-forward", help="a search space (%(default)s)")
    what.add_argument(
        "--space-arg", action="append", default=[], metavar="NAME=VALUE", help="repeatable"
    )
    what.add_argument("--input-shape", type=int, nargs="+", default=[10], metavar="SIZE")
    what.add_argument("--output-shape", type=int, nargs=1, default=[1], metavar="UNITS")
    what.add_argument("--output-activation", default="linear")
    what.add_argument("--population", type=Path, help="measure on this generated population, too")
    what.add_argument(
        "--options", type=int, nargs="+", metavar="K", help="choices alone: options of each"
    )
    what.add_argument("--choices", type=int, help="with one K: how many choices (20)")
    how = parser.add_argument_group("how")
    how.add_argument("--sizes", type=int, nargs="+", metavar="N", help="stored architectures")
    how.add_argument("--trials", type=int, default=50, help="populations (%(default)s)")
    how.add_argument("--candidates", type=int, default=200, help="per trial (%(default)s)")
    how.add_argument("--confidence", type=float, default=0.95, help="of intervals (%(default)s)")
    how.add_argument("--window", type=int, default=100, help="evolution: members (%(default)s)")
    how.add_argument("--sample-size", type=int, default=5, help="evolution: tournament (5)")
    how.add_argument("--no-evolved", action="store_true", help="random populations only")
    how.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/birthday"), help="a folder")


def check(args: argparse.Namespace, population: Population | None) -> list[int]:
    """Returns the numbers of stored architectures.

    Raises:
        InvalidValueError: a number that can never work.
    """
    for name, least in (("trials", 2), ("candidates", 1), ("window", 2), ("sample_size", 1)):
        if getattr(args, name) < least:
            option = "--" + name.replace("_", "-")
            raise InvalidValueError(f"{option} {getattr(args, name)} must be at least {least}")
    if args.seed < 0:
        raise InvalidValueError(f"--seed {args.seed} must not be negative")
    check_confidence(args.confidence)
    sizes = sorted(set(args.sizes or SIZES))
    if sizes[0] < 1:
        raise InvalidValueError(f"--sizes {sizes[0]} must be at least 1")
    if population is None:
        return sizes
    if args.sizes and sizes[-1] > len(population):
        raise InvalidValueError(
            f"--sizes {sizes[-1]}: the population has {len(population)} members; give smaller ones"
        )
    return [size for size in sizes if size <= len(population)]


def sources(
    args: argparse.Namespace, population: Population | None
) -> tuple[ArchitectureSource, ClosedForm | None, str]:
    """Returns what architectures are drawn from, the closed form, and why there may be none."""
    if args.options:
        if population is not None:
            raise InvalidValueError("--options and --population exclude each other; leave one out")
        options = args.options
        if len(options) == 1:
            options = options * (20 if args.choices is None else args.choices)
        elif args.choices not in (None, len(options)):
            raise InvalidValueError(f"--choices {args.choices}, but --options lists {len(options)}")
        return SequentialSource(options), SequentialForm(tuple(options)), ""
    if population is not None:
        given = population.description
        space = given.make_space()
        shapes = (given.input_shape, given.output_shape, given.output_activation)
    else:
        space = get_space(args.space, **parse_pairs(args.space_arg))
        shapes = (tuple(args.input_shape), tuple(args.output_shape), args.output_activation)
    values = max(len(choice.values) for choice in space.choices())
    if values > MOST_EVOLVED_VALUES and not args.no_evolved:
        raise InvalidValueError(
            f"a choice has {values} values, and evolution takes {MOST_EVOLVED_VALUES} at most; "
            "leave it out with --no-evolved"
        )
    source = SpaceSource(space, *shapes)
    try:
        return source, closed_form(space, *shapes), ""
    except SpaceError as error:
        return source, None, str(error)


def measure(
    args: argparse.Namespace,
    source: ArchitectureSource,
    population: Population | None,
    sizes: list[int],
    console: Console,
) -> list[tuple[str, Lengths]]:
    """Runs the trials, and measures on the population."""
    common = (args.trials, args.candidates, args.seed)
    found: list[tuple[str, Lengths]] = []
    with show_progress(console, "birthday") as progress:

        def step(text: str, number: int, total: int) -> Callable[[int], None]:
            return lambda done: progress((number + done / total) / 3, text)

        lengths = random_trials(source, sizes, *common, step("random populations", 0, args.trials))
        found += [(MONTE_CARLO, item) for item in lengths]
        if isinstance(source, SpaceSource) and not args.no_evolved:
            lengths = evolved_trials(
                source,
                sizes,
                *common,
                args.window,
                args.sample_size,
                step("evolved populations", 1, args.trials),
            )
            found += [(MONTE_CARLO, item) for item in lengths]
        if population is not None:
            done = step("the given population", 2, len(sizes))
            lengths = measured_lengths(population, sizes, *common, args.window, done)
            found += [(MEASURED, item) for item in lengths]
    return found


def print_expected(console: Console, expected: pd.DataFrame, unit: str) -> None:
    """Prints the means with their intervals, one column for each way to find them."""
    table = Table(title=f"Expected longest prefix, {unit}", title_justify="left")
    table.add_column("n", justify="right")
    series = list(expected.groupby(["method", "population", "candidates"], sort=False))
    for (method, population, candidates), _ in series:
        table.add_column(f"{method}\n{population} population\n{candidates} candidates")
    for size in sorted(expected["n"].unique()):
        cells = []
        for _, rows in series:
            row = rows[rows["n"] == size]
            if row.empty:
                cells.append("")
                continue
            mean, low, high, interval = row[["mean", "low", "high", "interval"]].iloc[0]
            text = f"{mean:.3f}"
            if interval != "exact":
                text += f" ± {(high - low) / 2:.3f}" + ("*" if interval == "candidates" else "")
            cells.append(text)
        table.add_row(f"{size:,}", *cells)
    console.print(table, markup=False)
    if (expected["interval"] == "candidates").any():
        console.print("* over candidates that met one population")


def run(args: argparse.Namespace) -> int:
    """Computes, prints and writes everything."""
    out = prepare_folder(args.out)
    population = None if args.population is None else load_population([args.population])
    sizes = check(args, population)
    source, form, reason = sources(args, population)
    console = make_console()
    if reason:
        console.print(f"No closed form: {reason.removeprefix('no closed form: ')}", markup=False)
    measurements = measure(args, source, population, sizes, console)
    expected = expected_table(form, sizes, measurements, args.confidence)
    chances = probability_table(form, sizes, measurements, args.confidence, source.always)
    print_expected(console, expected, source.unit)
    for line in agreement(expected):
        console.print(f"{line}, with {args.confidence:.0%} intervals", highlight=False)
    files = write_table(expected, out, "expected") + write_table(chances, out, "probabilities")
    files.append(plot_expected(expected, source.unit, out / "expected.png"))
    picture = out / "probabilities.png"
    files.append(plot_probabilities(chances, sizes[-1], source.unit, picture))
    print_files(console, files)
    return 0
