"""The options of commands that run on an executor configuration."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl_tl.arguments import positive_int
from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.errors import ConfigError


def add_config_options(group: Any) -> None:
    """Adds ``--config``, ``-o`` and ``--workers``.

    Args:
        group: of a parser.
    """
    group.add_argument(
        "--config",
        default="local",
        help="executor configuration: a name of `parsl-tl configs`, a file, or file.py:function "
        "(default local)",
    )
    add_option_pairs(group)
    group.add_argument(
        "--workers", type=positive_int, help="worker processes per node (default: config's)"
    )


def add_option_pairs(group: Any) -> None:
    """Adds ``-o`` alone."""
    group.add_argument(
        "-o",
        "--config-option",
        dest="config_options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the configuration, such as account=my-project, or @FILE for a TOML file "
        "of them; repeatable",
    )


def config_of(args: argparse.Namespace) -> str:
    """Returns the configuration of a command line with its options, as ``load_config`` takes it.

    Raises:
        ConfigError: a file of options cannot be read.
        InvalidValueError: an option is no ``name=value``.
    """
    from parsl_tl.configuration import name_with_options

    return name_with_options(args.config, read_options(args.config_options))


def read_options(given: Sequence[str]) -> dict[str, Any]:
    """Reads options: ``name=value``, or ``@file.toml``; later ones go before earlier ones.

    Raises:
        ConfigError: a file cannot be read.
        InvalidValueError: an option is no ``name=value``.
    """
    options: dict[str, Any] = {}
    for text in given:
        options |= _read_file(Path(text[1:])) if text.startswith("@") else parse_pairs([text])
    return options


def _read_file(path: Path) -> dict[str, Any]:
    try:
        options = tomllib.loads(path.expanduser().read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"options of the configuration: {path}: {error}") from error
    nested = [name for name, value in options.items() if isinstance(value, dict | list)]
    if nested:
        raise ConfigError(f'{path}: {nested[0]} must be one value, as in account = "my-project"')
    return {name.replace("-", "_"): value for name, value in options.items()}
