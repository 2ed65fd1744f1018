"""The values that a hyperparameter of a Keras function is drawn from.

Steps, sampling and defaults mean what they mean in Keras Tuner. A range without a step is drawn
from a grid: its ends, and values between them at equal distances (``linear``) or ratios (``log``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from parsl_tl.errors import SpaceError

Value = str | int | float | bool
_Number = TypeVar("_Number", int, float)

MAX_INTS = 20
"""Values of an ``Int`` without a step; a wider range is drawn from a grid of as many."""
NUM_FLOATS = 10
"""Values of a ``Float`` without a step."""
_MAX_STEPS = 10_000
# A grid of floats in figures that people can read.
_DIGITS = 4


def int_values(
    name: str,
    min_value: int,
    max_value: int,
    step: int | None,
    sampling: str | None,
    default: int | None,
) -> list[int]:
    """Returns the values of ``hp.Int``, in order; the default is one of them.

    Raises:
        SpaceError: an empty range, or a step or sampling that there is not.
    """
    bounds = (min_value, max_value, *(item for item in (step, default) if item is not None))
    if not all(isinstance(item, int) for item in bounds):
        raise SpaceError(f"hp.Int({name!r}) takes integers, not {bounds}; use hp.Float")
    kind = _check(name, min_value, max_value, step, sampling)
    if step is None and kind == "linear" and max_value - min_value < MAX_INTS:
        step = 1
    if step is not None:
        values = [round(value) for value in _steps(name, min_value, max_value, step, kind)]
    else:
        values = [round(value) for value in _grid(min_value, max_value, MAX_INTS, kind)]
    return _with_default(values, min_value, max_value, default, name)


def float_values(
    name: str,
    min_value: float,
    max_value: float,
    step: float | None,
    sampling: str | None,
    default: float | None,
) -> list[float]:
    """Returns the values of ``hp.Float``, in order; the default is one of them.

    Raises:
        SpaceError: an empty range, or a step or sampling that there is not.
    """
    low, high = float(min_value), float(max_value)
    kind = _check(name, low, high, step, sampling)
    if step is not None:
        values = [_rounded(value, 12) for value in _steps(name, low, high, step, kind)]
    else:
        inner = _grid(low, high, NUM_FLOATS, kind)
        values = [low, *(_rounded(value, _DIGITS) for value in inner[1:-1]), high]
    return _with_default(values, low, high, None if default is None else float(default), name)


def choice_values(name: str, values: Sequence[Value], default: Value | None) -> list[Value]:
    """Returns the values of ``hp.Choice``, in the order given.

    Raises:
        SpaceError: there are none, one that is no text or number, or another default.
    """
    listed = list(values)
    if not listed or not all(isinstance(value, str | int | float) for value in listed):
        raise SpaceError(
            f"hp.Choice({name!r}) has the values {listed!r}; give texts, numbers or booleans, and "
            "make what you need of them in the function"
        )
    if default is not None and default not in listed:
        raise SpaceError(f"hp.Choice({name!r}): the default {default!r} is none of {listed!r}")
    return list(dict.fromkeys(listed))


def _check(name: str, low: float, high: float, step: float | None, sampling: str | None) -> str:
    kind = (sampling or "linear").lower()
    if kind not in ("linear", "log", "reverse_log"):
        raise SpaceError(
            f"{name!r} has sampling={sampling!r}; choose from linear, log, reverse_log"
        )
    if low > high:
        raise SpaceError(f"{name!r} has min_value {low}, which is above max_value {high}")
    if kind != "linear" and low <= 0:
        raise SpaceError(f"{name!r} has min_value {low}; sampling={kind!r} takes positive values")
    if step is not None and step <= (0 if kind == "linear" else 1):
        raise SpaceError(f"{name!r} has step={step}, which never gets from {low} to {high}")
    return kind


def _steps(name: str, low: float, high: float, step: float, kind: str) -> list[float]:
    if kind == "linear":
        count = int((high - low) / step + 1e-8) + 1
    else:
        count = int(math.log(high / low, step) + 1e-8) + 1
    if count > _MAX_STEPS:
        raise SpaceError(f"{name!r} has {count} values, more than {_MAX_STEPS}; widen its step")
    make: dict[str, Callable[[int], float]] = {
        "linear": lambda i: low + i * step,
        "log": lambda i: low * step**i,
        "reverse_log": lambda i: high + low - low * step**i,
    }
    return sorted(make[kind](index) for index in range(count))


def _grid(low: float, high: float, count: int, kind: str) -> list[float]:
    shares = [index / (count - 1) for index in range(count)]
    if kind == "linear":
        return [low + share * (high - low) for share in shares]
    ratios = [low * (high / low) ** share for share in shares]
    return ratios if kind == "log" else sorted(high + low - value for value in ratios)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _with_default(
    values: Sequence[_Number], low: _Number, high: _Number, default: _Number | None, name: str
) -> list[_Number]:
    if default is None:
        return sorted(set(values))
    if not low <= default <= high:
        raise SpaceError(f"{name!r} has the default {default}, which is not in {low} to {high}")
    return sorted({default}.union(values))
