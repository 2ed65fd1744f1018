"""Model ids: unsigned 64-bit integers, shown as 16 hexadecimal digits."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from parsl_tl.errors import InvalidValueError


def check_model_id(model_id: SupportsIndex) -> int:
    """Returns the id as an ``int``.

    Raises:
        InvalidValueError: it is no integer, or not within 0 to 2**64 - 1.
    """
    try:
        value = operator.index(model_id)
    except TypeError as error:
        raise InvalidValueError(
            f"model id {model_id!r} is a {type(model_id).__name__}; give an integer"
        ) from error
    if not 0 <= value < 2**64:
        raise InvalidValueError(f"model id {value} does not fit into 64 bits without a sign")
    return value


def format_model_id(model_id: int) -> str:
    """Returns the id as users see it, such as ``'00000000000001f4'``."""
    return f"{model_id:016x}"


def parse_model_id(text: str) -> int:
    """Reads an id of 1 to 16 hexadecimal digits.

    Raises:
        InvalidValueError: the text is something else.
    """
    digits = text.strip().lower().removeprefix("0x")
    if not 1 <= len(digits) <= 16 or set(digits) - set("0123456789abcdef"):
        raise InvalidValueError(f"{text!r} is no model id: give up to 16 hexadecimal digits")
    return int(digits, 16)
