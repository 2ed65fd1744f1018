"""Settings of a benchmark: a dataclass, whose fields are checked and make the command line."""

from __future__ import annotations

import argparse
import operator
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from parsl_tl.errors import BenchmarkError, InvalidValueError

S = TypeVar("S")
# Why names cannot be measured here, in one line each, given the settings.
Missing = Callable[[Any], Mapping[str, str]]


def option(
    default: Any,
    text: str,
    *,
    flag: str = "",
    metavar: str | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    choices: Sequence[str] = (),
    missing: Missing | None = None,
    may_be_empty: bool = False,
) -> Any:
    """Makes a dataclass field that is an option, too.

    Args:
        default: the value without the option; None with ``choices``: all that are not missing.
        text: what it means, for ``--help``.
        flag: as a user writes it; else the field's name with dashes.
        metavar: of the value.
        least: smallest value, of each if there are several.
        above: the value must be larger.
        most: largest value.
        choices: names there are; they are taken in this order.
        missing: gives names that are known, but cannot be measured here.
        may_be_empty: an option with several values may have none.
    """
    bounds = {"least": least, "above": above, "most": most}
    names = {"choices": tuple(choices), "missing": missing, "may_be_empty": may_be_empty}
    shown = {"text": text, "flag": flag, "metavar": metavar}
    return field(default=default, metadata={**shown, **bounds, **names})


def nested(default: Any, title: str) -> Any:
    """Makes a field that holds a dataclass with options of its own, under a title in the help."""
    return field(default=default, metadata={"title": title})


def add_options(parser: Any, kind: type, default: Any = None) -> None:
    """Adds the options of a settings class to an ``argparse`` parser, or a group of one.

    Args:
        parser: where to.
        kind: of settings; its ``PRESETS`` are flags that stand for other defaults: by name, the
            text for ``--help`` and the values.
        default: settings whose values the help tells as defaults.
    """
    default = kind() if default is None else default
    presets = getattr(kind, "PRESETS", {})
    if presets:
        much = parser.add_mutually_exclusive_group()
        for name, (text, _) in presets.items():
            much.add_argument(f"--{name}", action="store_true", help=text)
    hints = typing.get_type_hints(kind)
    for one in fields(kind):
        value = getattr(default, one.name)
        if "title" in one.metadata:
            add_options(parser.add_argument_group(one.metadata["title"]), type(value), value)
        elif "text" in one.metadata:
            _add_option(parser, one, hints[one.name], value)


def _add_option(parser: Any, one: Field[Any], hint: Any, default: Any) -> None:
    known, (kind, is_many) = one.metadata, _kind_of(hint)
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    text = known["text"] + (f" ({shown})" if shown not in (None, "", False) else "")
    more: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind}
    if is_many:
        more["nargs"] = "*" if known["may_be_empty"] else "+"
    if kind is not bool:
        more["metavar"] = known["metavar"] or _METAVARS[kind]
    parser.add_argument(
        _flag(one), dest=one.name, default=None, help=text.replace("%", "%%"), **more
    )


_METAVARS = {int: "N", float: "X", str: "NAME", Path: "FOLDER"}


def _flag(one: Field[Any]) -> str:
    return one.metadata["flag"] or "--" + one.name.replace("_", "-")


def _kind_of(hint: Any) -> tuple[Any, bool]:
    """Returns the type of one value, and whether there may be several."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    if typing.get_origin(hint) is typing.Literal:
        return str, False
    return hint, False


def settings_from(args: argparse.Namespace, default: S) -> S:
    """Returns settings with what a command line says; see ``add_options``."""
    given: dict[str, Any] = {}
    for name, (_, values) in getattr(type(default), "PRESETS", {}).items():
        if getattr(args, name):
            given.update(values)
    assert is_dataclass(default)
    for one in fields(default):
        if "title" in one.metadata:
            given[one.name] = settings_from(args, getattr(default, one.name))
        elif (value := getattr(args, one.name, None)) is not None and "text" in one.metadata:
            given[one.name] = tuple(value) if isinstance(value, list) else value
    return _replaced(default, given)


def _replaced(settings: S, changes: dict[str, Any]) -> S:
    made: S = replace(settings, **changes)  # type: ignore[type-var]
    return made


def check_values(settings: S) -> S:
    """Returns settings whose values can be, with all names of ``choices`` named.

    Raises:
        InvalidValueError: a value out of its bounds, or an unknown name.
        BenchmarkError: a name that cannot be measured here.
    """
    changes: dict[str, Any] = {}
    assert is_dataclass(settings)
    for one in fields(settings):
        value = getattr(settings, one.name)
        if "title" in one.metadata:
            changes[one.name] = check_values(value)
        elif one.metadata.get("choices"):
            changes[one.name] = _choose(one, value, settings)
        elif "text" in one.metadata:
            _check_bounds(one, value)
    return _replaced(settings, changes)


def _check_bounds(one: Field[Any], value: Any) -> None:
    known, label = one.metadata, _flag(one).strip("-").replace("-", "_")
    if value == () and not known["may_be_empty"]:
        raise InvalidValueError(f"{label} must be one or more values, not none")
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, int | float):
            continue
        # What is not a number fails, too: it is not at least anything.
        for bound, holds, words in (
            (known["least"], operator.ge, "at least"),
            (known["above"], operator.gt, "above"),
            (known["most"], operator.le, "at most"),
        ):
            if bound is not None and not (holds(number, bound) and abs(number) != float("inf")):
                raise InvalidValueError(f"{label}={number} must be {words} {bound:g}")


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
