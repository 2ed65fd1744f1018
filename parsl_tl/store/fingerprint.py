"""Fingerprints of data: which data a model was trained on.

Weights belong to data. A model carries the fingerprint of the data that it was trained on, and a
query may allow models of some data only: weights of another data set are of little use, and those
of another split of the same data have seen rows that the candidate is validated on.
"""

from __future__ import annotations

import operator
from collections.abc import Collection

from parsl_tl.errors import InvalidValueError


def check_fingerprint(fingerprint: int) -> int:
    """Returns the fingerprint as a Python int.

    Raises:
        InvalidValueError: it is no unsigned 64-bit integer.
    """
    try:
        value = operator.index(fingerprint)
    except TypeError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise InvalidValueError(
            f"fingerprint {fingerprint!r} must be an integer from 0 (which says none) to 2**64 - 1"
        )
    return value


def check_fingerprints(fingerprints: Collection[int] | None) -> set[int] | None:
    """Returns the fingerprints that a query allows as the engine takes them; None allows any.

    Raises:
        InvalidValueError: one of them is no unsigned 64-bit integer.
    """
    if fingerprints is None:
        return None
    if not isinstance(fingerprints, Collection):
        raise InvalidValueError(
            f"fingerprints={fingerprints!r} must be a collection, such as {{{fingerprints!r}}}"
        )
    return {check_fingerprint(fingerprint) for fingerprint in fingerprints}


def format_fingerprint(fingerprint: int) -> str:
    """Returns the fingerprint as users see it: 16 hexadecimal digits, or nothing for none."""
    return f"{fingerprint:016x}" if fingerprint else ""
