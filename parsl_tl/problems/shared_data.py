"""Data that is prepared once on a node, and mapped by all processes of a run there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

import numpy as np

from parsl_tl.problems.array_cache import NamedArrays
from parsl_tl.problems.data import Data, leaves
from parsl_tl.problems.node_cache import NodeCache

logger = logging.getLogger(__name__)

_CLASS_WEIGHTS: Final = "class_weights"
_SMALL: Final = "small"


class SharedData:
    """Data that one process loads while the others of the node wait for it.

    Args:
        cache: of the node.
        least_bytes: less is loaded by each process for itself.
        identity: what tells the data from others'; JSON-able.
    """

    def __init__(self, cache: NodeCache, least_bytes: int, identity: Any) -> None:
        self._cache, self._least_bytes = cache, least_bytes
        text = json.dumps(identity, sort_keys=True, default=str)
        self._name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def load(self, load: Callable[[], Data]) -> Data:
        """Returns the data: mapped if it is large, as ``load`` returns it otherwise.

        Args:
            load: reads or makes it. What it raises passes.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._cache.alone(self._name))
            except OSError as error:
                logger.warning("data is not shared on this node: %s", error)
                return load()
            found = self._cache.find(self._name)
            if found is not None and _SMALL not in found.facts:
                return _unpacked(found)
            if found is None:
                data = load()
                packed = _packed(data)
                if packed is not None and _own_bytes(packed) >= self._least_bytes:
                    kept = self._cache.keep(self._name, packed)
                    return data if kept is packed else _unpacked(kept)
                self._cache.keep(self._name, NamedArrays({}, {_SMALL: True}))
                return data
        return load()


def _packed(data: Any) -> NamedArrays | None:
    """Names all arrays of the data; None for a stream, or numbers that a file would not tell."""
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {}
    for name in (field.name for field in fields(Data)):
        value = getattr(data, name)
        if name == _CLASS_WEIGHTS:
            facts[name] = None if value is None else [[int(k), float(v)] for k, v in value.items()]
            continue
        parts = () if value is None else leaves(value)
        if not all(isinstance(part, np.ndarray) and part.dtype.kind in "biuf" for part in parts):
            return None
        kind = "tuple" if isinstance(value, tuple) else "array"
        keys = list(value) if isinstance(value, dict) else None
        facts[name] = {"kind": kind, "count": len(parts), "names": keys}
        arrays.update((f"{name}.{number}", part) for number, part in enumerate(parts))
    return NamedArrays(arrays, facts)


def _unpacked(kept: NamedArrays) -> Data:
    values: dict[str, Any] = {}
    for name, said in kept.facts.items():
        if name == _CLASS_WEIGHTS:
            values[name] = None if said is None else dict(said)
            continue
        parts = [kept[f"{name}.{number}"] for number in range(said["count"])]
        if said["names"] is not None:
            values[name] = dict(zip(said["names"], parts, strict=True))
        else:
            values[name] = tuple(parts) if said["kind"] == "tuple" else next(iter(parts), None)
    return Data(**values)


def _own_bytes(packed: NamedArrays) -> int:
    """Returns the bytes of what is not mapped from files already."""
    return sum(array.nbytes for array in packed.arrays.values() if not isinstance(array, np.memmap))
