"""Arguments of the form ``name=value``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parsl_tl.arguments import literal
from parsl_tl.errors import InvalidValueError


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Reads ``name=value`` arguments; values are Python literals, true, false, or else texts.

    Raises:
        InvalidValueError: there is no ``=``.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidValueError(f"{pair!r} must have the form name=value")
        values[name.replace("-", "_")] = literal(text)
    return values


def parse_choices(pairs: Sequence[str]) -> dict[str, list[Any]]:
    """Reads ``name=value,value,...`` arguments; values as ``parse_pairs`` reads them.

    Raises:
        InvalidValueError: there is no ``=``, or no value.
    """
    choices: dict[str, list[Any]] = {}
    for name, value in parse_pairs(pairs).items():
        listed = list(value) if isinstance(value, list | tuple) else str(value).split(",")
        choices[name] = [literal(one.strip()) if isinstance(one, str) else one for one in listed]
        if "" in choices[name]:
            raise InvalidValueError(f"{name} lacks values; write {name}=first,second")
    return choices
