"""Settings of a benchmark: a dataclass, whose fields are checked and make the command line."""

from __future__ import annotations

import argparse
import importlib.util
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from parsl_tl.errors import BenchmarkError, InvalidValueError

S = TypeVar("S")
# Flags that stand for other defaults: by name, the text for ``--help`` and the values.
Presets = Mapping[str, tuple[str, Mapping[str, Any]]]
_METAVARS = {int: "N", float: "X", str: "NAME", Path: "FOLDER"}
_BOUNDS = {"least": operator.ge, "above": operator.gt, "most": operator.le}
_WORDS = {"least": "at least", "above": "above", "most": "at most"}


def option(
    default: Any,  # without the option; None with ``choices``: all that are not missing
    text: str,  # what it means, for ``--help``
    *,
    flag: str = "",  # as a user writes it; else the field's name with dashes; a WORD has no flag
    metavar: str | None = None,  # of the value
    least: float | None = None,  # smallest value, of each if there are several
    above: float | None = None,  # the value must be larger
    most: float | None = None,  # largest value
    choices: Sequence[str] = (),  # names there are; they are taken in this order
    # Gives, of settings, names that cannot be measured here, and why.
    missing: Callable[[Any], Mapping[str, str]] | None = None,
    may_be_empty: bool = False,  # an option with several values may have none
) -> Any:
    """Makes a dataclass field that is an option, too."""
    return field(default=default, metadata=locals())


def names_option(
    names: Iterable[str],
    missing: Callable[[Any], Mapping[str, str]] | None = None,
    text: str = "of {} (all that are installed)",
    **more: Any,
) -> Any:
    """Makes a field that is an option of names; without it, all that are not missing."""
    choices = tuple(names)
    return option(None, text.format(", ".join(choices)), choices=choices, missing=missing, **more)


def nested(default: Any, title: str) -> Any:
    """Makes a field that holds a dataclass with options of its own, under a title in the help."""
    return field(default=default, metadata={"title": title})


def add_options(parser: Any, default: Any) -> None:
    """Adds the options of settings, and ``PRESETS`` of their class, to a parser or its group."""
    kind = type(default)
    much: Any = None
    for name, (text, _) in getattr(kind, "PRESETS", {}).items():
        much = much or parser.add_mutually_exclusive_group()
        much.add_argument(f"--{name}", action="store_true", help=text)
    hints = typing.get_type_hints(kind)
    # Where it runs is told last.
    for one in sorted(fields(kind), key=lambda one: one.name == "where"):
        value = getattr(default, one.name)
        if "title" in one.metadata:
            add_options(parser.add_argument_group(one.metadata["title"]), value)
        elif "text" in one.metadata:
            _add_option(parser, one, hints[one.name], value)


def _add_option(parser: Any, one: Field[Any], hint: Any, default: Any) -> None:
    known, (kind, is_many) = one.metadata, _kind_of(hint)
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    text = known["text"] + (f" ({shown})" if shown not in (None, "", False) else "")
    more: dict[str, Any] = {"action": "store_true"}
    if kind is not bool:
        more = {"type": kind, "metavar": known["metavar"] or _METAVARS[kind]}
    if is_many:
        more["nargs"] = "*" if known["may_be_empty"] else "+"
    if known["flag"].isupper():
        parser.add_argument(one.name, help=known["text"], type=kind, metavar=known["flag"])
        return
    parser.add_argument(
        _flag(one), dest=one.name, default=None, help=text.replace("%", "%%"), **more
    )


def _flag(one: Field[Any]) -> str:
    return one.metadata["flag"] or "--" + one.name.replace("_", "-")


def _kind_of(hint: Any) -> tuple[Any, bool]:
    """Returns the type of one value, and whether there may be several."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return (str if typing.get_origin(hint) is typing.Literal else hint), False


def settings_from(args: argparse.Namespace, default: S) -> S:
    """Returns settings with what a command line says; see ``add_options``."""
    given: dict[str, Any] = {}
    for name, (_, values) in getattr(type(default), "PRESETS", {}).items():
        given |= values if getattr(args, name) else {}
    for one in fields(default):  # type: ignore[arg-type]
        if "title" in one.metadata:
            given[one.name] = settings_from(args, getattr(default, one.name))
        elif (value := getattr(args, one.name, None)) is not None and "text" in one.metadata:
            given[one.name] = tuple(value) if isinstance(value, list) else value
    return _changed(default, given)


def _changed(settings: S, changes: dict[str, Any]) -> S:
    made: S = replace(settings, **changes)  # type: ignore[type-var]
    return made


def check_values(settings: S) -> S:
    """Returns settings whose values can be, with all names of ``choices`` named.

    Raises:
        InvalidValueError: a value out of its bounds, or an unknown name.
        BenchmarkError: a name that cannot be measured here.
    """
    changes: dict[str, Any] = {}
    for one in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, one.name)
        if "title" in one.metadata:
            changes[one.name] = check_values(value)
        elif one.metadata.get("choices"):
            changes[one.name] = _choose(one, value, settings)
        elif "text" in one.metadata:
            _check_bounds(one, value)
    return _changed(settings, changes)


def _check_bounds(one: Field[Any], value: Any) -> None:
    known, label = one.metadata, _flag(one).strip("-").replace("-", "_")
    if value == () and not known["may_be_empty"]:
        raise InvalidValueError(f"{label} must be one or more values, not none")
    for number in value if isinstance(value, tuple) else (value,):
        for name, holds in _BOUNDS.items() if isinstance(number, int | float) else ():
            bound = known[name]
            # What is not a number fails, too: it is not at least anything.
            if bound is not None and not (holds(number, bound) and not math.isinf(number)):
                raise InvalidValueError(f"{label}={number} must be {_WORDS[name]} {bound:g}")


def _choose(one: Field[Any], value: Any, settings: Any) -> Any:
    choices, what = one.metadata["choices"], one.name.removesuffix("s").replace("_", " ")
    missing = one.metadata["missing"](settings) if one.metadata["missing"] else {}
    if value is None:
        return tuple(name for name in choices if name not in missing)
    for name in (value,) if isinstance(value, str) else value:
        if name not in choices:
            raise InvalidValueError(f"unknown {what} {name!r}; choose from {', '.join(choices)}")
        if name in missing:
            raise BenchmarkError(f"{what} {name!r}: {missing[name]}")
    if not value:
        raise InvalidValueError(f"no {what} is named; choose from {', '.join(choices)}")
    return value if isinstance(value, str) else tuple(name for name in choices if name in value)


def left_out(settings: Any) -> Iterator[tuple[str, str]]:
    """Yields names that were not asked for and cannot be measured here, and why."""
    for one in fields(settings):
        if one.metadata.get("missing") and getattr(settings, one.name) is None:
            yield from one.metadata["missing"](settings).items()


def missing_packages(
    packages: Mapping[str, str], advice: str = "{0} is not installed: pip install {0}"
) -> dict[str, str]:
    """Returns what cannot be measured without its package, and what to do, in one line each."""
    is_there = importlib.util.find_spec
    return {name: advice.format(one) for name, one in packages.items() if is_there(one) is None}
