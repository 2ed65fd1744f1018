"""Prefix hashes, keys and stable names of layers.

Every layer gets the hash of its own configuration together with the keys of its inputs. Equal hash
means an equal layer with an equal history. Twins (equal layers on equal inputs) have equal hashes;
their keys, hash and twin number, tell them apart. So the longest common prefix of two models is the
intersection of their key sets, and it maps layers, and their inputs, one to one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parsl_tl.architecture.canonical_order import FlatCalls
from parsl_tl.architecture.layer import Layer
from parsl_tl.errors import ArchitectureError
from parsl_tl.native import native

# How layers are digested, hashed and numbered. Files that keep hashes say under which scheme they
# were made: those of another one mean something else.
HASH_SCHEME = 2

_STABLE_NAME = re.compile(r"_([0-9a-f]{16})(?:_([1-9][0-9]*))?$")


def hash_calls(flat: FlatCalls, digests: ArrayLike, call_digests: ArrayLike) -> NDArray[np.uint64]:
    """Hashes many graphs, listed in canonical order, in one call of the native module.

    Args:
        flat: the graphs.
        digests: uint64, one per layer, see ``canonical.layer_digest``.
        call_digests: uint64, one per call, see ``canonical.node_digest``; that of an input layer's
            is 0.

    Returns:
        One uint64 per layer of all graphs.
    """
    hashes: NDArray[np.uint64] = native.prefix_hashes(
        flat.layer_starts,
        np.asarray(digests, np.uint64),
        flat.call_starts,
        np.asarray(call_digests, np.uint64),
        flat.input_starts,
        flat.inputs.reshape(-1),
    )
    return hashes


def hash_layers(
    graphs: Sequence[Sequence[Layer]],
    digests: Iterable[Iterable[int]],
    call_digests: Iterable[Iterable[Sequence[int]]],
    *,
    calls: FlatCalls | None = None,
) -> list[NDArray[np.uint64]]:
    """Hashes the layers of many graphs in one call of the native module.

    Args:
        graphs: the layers of each graph, in canonical order.
        digests: one per layer, see ``canonical.layer_digest``.
        call_digests: one per call of each layer, see ``canonical.node_digest``.
        calls: of the graphs, if they are known.

    Returns:
        For each graph, one uint64 per layer.
    """
    if not graphs:
        return []
    flat = FlatCalls.of(graphs) if calls is None else calls
    hashes = hash_calls(
        flat,
        [digest for own in digests for digest in own],
        # An input layer has one call without arguments.
        [digest for layers in call_digests for own in layers for digest in own or (0,)],
    )
    return np.split(hashes, flat.layer_starts[1:-1])


def number_twins(hashes: Sequence[int]) -> list[int]:
    """Returns, for each hash, how many equal ones stand before it."""
    seen: Counter[int] = Counter()
    numbers = []
    for value in hashes:
        numbers.append(seen[value])
        seen[value] += 1
    return numbers


def stable_name(class_name: str, prefix_hash: int, twin: int) -> str:
    """Returns ``Dense_0123456789abcdef``, with ``_k`` for the k-th further twin."""
    name = f"{class_name}_{prefix_hash:016x}"
    return f"{name}_{twin}" if twin else name


def _key(prefix_hash: int, twin: int) -> int:
    return prefix_hash if twin == 0 else int(native.combine(np.array([prefix_hash, twin], "u8")))


def layer_keys(hashes: Sequence[int]) -> NDArray[np.uint64]:
    """Returns one key per layer that is unique in its model: the hash, combined with ``k``."""
    pairs = zip(hashes, number_twins(hashes), strict=True)
    return np.array([_key(value, twin) for value, twin in pairs], dtype=np.uint64)


def layer_key(name: str) -> int:
    """Returns the key of a layer, from its stable name.

    Raises:
        ArchitectureError: the name is not a stable one.
    """
    match = _STABLE_NAME.search(name)
    if match is None:
        raise ArchitectureError(
            f"{name!r} is no stable layer name (class name, 16 hexadecimal digits, "
            "and _k for a twin); graph.layer_names lists them"
        )
    return _key(int(match[1], 16), int(match[2] or 0))
