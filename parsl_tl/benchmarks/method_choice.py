"""Which of the ways that a benchmark compares take part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parsl_tl.errors import BenchmarkError


def choose_methods(
    asked: Sequence[str] | None, known: Sequence[str], missing: Mapping[str, str]
) -> tuple[str, ...]:
    """Returns the methods to measure, in the order of ``known``.

    Args:
        asked: names; None takes all that are installed.
        known: all names.
        missing: those that cannot be measured here, with the reason of each in one line.

    Raises:
        BenchmarkError: none is asked for, an unknown one, or one that is missing.
    """
    if asked is None:
        return tuple(name for name in known if name not in missing)
    for name in asked:
        if name not in known:
            raise BenchmarkError(f"method {name!r} is unknown; choose from {', '.join(known)}")
        if name in missing:
            raise BenchmarkError(f"method {name!r}: {missing[name]}")
    if not asked:
        raise BenchmarkError(f"no method is named; choose from {', '.join(known)}")
    return tuple(name for name in known if name in asked)
