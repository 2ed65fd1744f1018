"""Names that are not known, answered with the nearest ones that are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from parsl_tl.errors import InvalidValueError, ParslTLError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `` (did you mean 'epochs'?)``, or nothing where no name is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def check_names(
    given: Iterable[str],
    known: Iterable[str],
    what: str,
    error: type[ParslTLError] = InvalidValueError,
) -> None:
    """Refuses names that are not known.

    Args:
        given: names that someone wrote.
        known: those that mean something.
        what: what takes them, as the message begins.
        error: the class of the error.

    Raises:
        ParslTLError: of that class; it tells the nearest known name, and all of them.
    """
    names = list(known)
    for name in given:
        if name not in names:
            listed = ", ".join(sorted(names)) or "nothing"
            nearest = did_you_mean(name, names)
            raise error(f"{what} does not take {name!r}{nearest}; it takes {listed}")
