"""Arguments of the form ``name=value``."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from parsl_tl.errors import InvalidValueError


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Reads ``name=value`` arguments; values are Python literals, or else texts.

    Raises:
        InvalidValueError: there is no ``=``.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidValueError(f"{pair!r} must have the form name=value")
        try:
            values[name.replace("-", "_")] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name.replace("-", "_")] = text  # a plain word
    return values
