"""What tells one problem's data from another's, so that weights stay with their data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from parsl_tl.problems.data import Data, leaves

# Of an array that is larger, some rows are looked at, evenly spaced: all would take as long to read
# as an epoch, and two splits of one data set differ in nearly every row.
_WHOLE_BYTES: Final = 2**24
_SAMPLED_ROWS: Final = 256


def fingerprint(said: Mapping[str, Any], data: Data) -> int:
    """Returns an unsigned 64-bit integer other than 0.

    Equal data gives equal fingerprints on every machine; data that differs in shapes, kinds, or in
    one of the rows that are looked at, gives others.

    Args:
        said: what is known of the data by name; JSON-able.
        data: its training and validation parts count; who has seen the test part knows nothing of
            it.
    """
    digest = hashlib.blake2b(json.dumps(dict(said), sort_keys=True).encode(), digest_size=8)
    for part in ("train", "valid"):
        for kind, arrays in zip("xy", (getattr(data, f"{k}_{part}") for k in "xy"), strict=True):
            names = sorted(arrays) if isinstance(arrays, dict) else None
            ordered = [arrays[name] for name in names] if names else leaves(arrays)
            digest.update(json.dumps([part, kind, names]).encode())
            for array in ordered:
                if isinstance(array, np.ndarray):
                    _add(digest, array)
    return int.from_bytes(digest.digest(), "little") or 1


def _add(digest: Any, array: np.ndarray) -> None:
    digest.update(json.dumps([str(array.dtype), list(array.shape)]).encode())
    if array.nbytes <= _WHOLE_BYTES:
        digest.update(np.ascontiguousarray(array).tobytes())
        return
    count = max(1, min(len(array), _SAMPLED_ROWS, _WHOLE_BYTES // array[:1].nbytes))
    for row in np.linspace(0, len(array) - 1, count).round().astype(np.int64):
        digest.update(np.ascontiguousarray(array[row]).tobytes())
