"""What programs do with their command lines: mistakes in one line, and types that explain."""

from __future__ import annotations

import argparse
import ast
import re
from typing import Any, NoReturn

from parsl_tl.errors import InvalidValueError


class ArgumentParser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, as every other error."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit code 2."""
        text = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {text} (see {self.prog} --help)\n")


def positive_int(text: str) -> int:
    """Reads a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return value


def positive_float(text: str) -> float:
    """Reads a positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def seconds_or_auto(text: str) -> float | str:
    """Reads a positive number, or ``auto``."""
    return text if text == "auto" else positive_float(text)


def byte_count(given: int | str) -> int:
    """Reads a number of bytes: ``4GB``, ``512 MiB``, ``1000000``, or ``off`` for none.

    Raises:
        InvalidValueError: it is none of these.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)(i?)[bB]?\s*", str(given))
    if found is None:
        if str(given).lower() in ("off", "none"):
            return 0
        raise InvalidValueError(f"{given!r} is no number of bytes, such as 4GB or 512MiB, nor off")
    number, unit, binary = found.groups()
    power = " KMGT".index(unit.upper() or " ")
    return round(float(number) * float(1024 if binary else 1000) ** power)


def byte_argument(text: str) -> int:
    """Reads a number of bytes."""
    try:
        return byte_count(text)
    except InvalidValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def share(text: str) -> float:
    """Reads a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def literal(text: str) -> Any:
    """Reads a Python literal, ``true`` or ``false``; what else there is stays a text."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # a plain word
