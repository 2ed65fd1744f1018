"""The options of everything that generates populations."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.errors import PopulationError
from parsl_tl.population.names import ALIASES, FORMATS

if TYPE_CHECKING:
    from parsl_tl.population import PopulationTask

_SHAPES = ("input_shape", "output_shape", "output_activation")


def add_population_options(parser: Any, *, evolves: bool) -> None:
    """Adds the options; each is spelled with hyphens or with underscores.

    Args:
        parser: an ``ArgumentParser`` or a group of it.
        evolves: whether a population can be evolved.
    """

    def add(name: str, **kwargs: Any) -> None:
        underscored = "--" + name[2:].replace("-", "_")
        spellings = [name] if underscored == name else [name, underscored]
        parser.add_argument(*spellings, **kwargs)

    add(
        "--population-size",
        type=int,
        metavar="N",
        help="models in all (default: 10"
        + (", or all of the initial population)" if evolves else ")"),
    )
    if evolves:
        add(
            "--initial-population-dir",
            type=Path,
            metavar="DIR",
            help="begin with the population in this folder, in however many parts it is there",
        )
        add(
            "--evolve-count",
            type=int,
            default=0,
            metavar="M",
            help="change one choice in each of the first M members (default: 0)",
        )
    add(
        "--output-dir",
        type=Path,
        default=Path(os.environ.get("TMPDIR", "/tmp")),
        metavar="DIR",
        help="folder for the files (default: $TMPDIR or /tmp)",
    )
    add(
        "--space",
        default="skip",
        help=f"{', '.join(ALIASES)} (dense-skip and feed-forward with 10 layers), or any space "
        "that `parsl-tl spaces` lists (default: skip)",
    )
    add(
        "--space-extra-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the space, or input_shape, output_shape, output_activation "
        "(default: (32,), (1,), linear); repeatable",
    )
    add("--seed", type=int, default=0, help="of all randomness (default: 0)")
    add(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["json", "parquet"],
        help="what is written: Keras JSON, and tables as Parquet or Arrow (default: json parquet)",
    )


def population_task(args: argparse.Namespace) -> PopulationTask:
    """Makes the task that the options stand for; checks them and the folders.

    Raises:
        PopulationError: see ``parsl_tl.population.plan``.
        SpaceError: see ``parsl_tl.population.plan``.
        InvalidValueError: an argument that is not ``name=value``.
    """
    # Imported here: Arrow takes a good part of a second, which --help need not.
    from parsl_tl.population import PopulationDescription, PopulationFolder, plan

    initial: Path | None = getattr(args, "initial_population_dir", None)
    size = args.population_size
    if initial is not None:
        found = PopulationFolder(initial).size
        if size not in (None, found):
            raise PopulationError(
                f"--population-size {size}: the population in {initial} has {found} members; "
                "leave the option out"
            )
        size = found
    space_args = parse_pairs(args.space_extra_arg)
    shapes = {name: space_args.pop(name) for name in _SHAPES if name in space_args}
    if "output_shape" in shapes:
        shapes["output_shape"] = _as_shape(shapes["output_shape"])
    description = PopulationDescription.of(
        10 if size is None else size,
        space=args.space,
        space_args=space_args,
        seed=args.seed,
        **shapes,
    )
    return plan(
        description,
        args.output_dir,
        args.format,
        initial_folder=initial,
        evolve_count=getattr(args, "evolve_count", 0),
        seed=args.seed,
    )


def _as_shape(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
