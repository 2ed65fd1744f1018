"""Prefix hashes, stable names, and the longest common prefix.

Every layer gets the hash of its own configuration together with the hashes of its inputs. Equal
hash means an equal layer with an equal history, so that the longest common prefix of two models is
the intersection of their hash sets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import ArchitectureError
from parsl_tl.native import native

if TYPE_CHECKING:
    from parsl_tl.architecture.graph import ArchitectureGraph
    from parsl_tl.architecture.layer import Layer

_STABLE_NAME = re.compile(r"_([0-9a-f]{16})(?:_([1-9][0-9]*))?$")


def hash_layers(
    graphs: Sequence[tuple[Sequence[Layer], Sequence[int], Sequence[Sequence[int]]]],
) -> list[NDArray[np.uint64]]:
    """Hashes many graphs in one call of the native module.

    Args:
        graphs: for each graph its layers, one digest per layer, and one digest per call.

    Returns:
        For each graph one uint64 per layer.

    Raises:
        ArchitectureError: the calls of a graph form a cycle.
    """
    layer_starts, call_starts, input_starts = [0], [0], [0]
    digests: list[int] = []
    call_digests: list[int] = []
    inputs: list[tuple[int, int, int]] = []
    for layers, layer_digests, node_digests in graphs:
        digests.extend(layer_digests)
        layer_starts.append(len(digests))
        for layer, own in zip(layers, node_digests, strict=True):
            call_digests.extend(own)
            for call in layer.calls:
                inputs.extend(call.inputs)
                input_starts.append(len(inputs))
            if layer.is_input:  # one call without inputs: the tensor that it gives
                call_digests.append(0)
                input_starts.append(len(inputs))
            call_starts.append(len(call_digests))
    try:
        hashes = native.prefix_hashes(
            np.array(layer_starts, np.int64),
            np.array(digests, np.uint64),
            np.array(call_starts, np.int64),
            np.array(call_digests, np.uint64),
            np.array(input_starts, np.int64),
            np.array(inputs, np.uint32).reshape(-1),
        )
    except ValueError as error:
        raise ArchitectureError(f"the layers do not form a model: {error}") from error
    return np.split(hashes, layer_starts[1:-1])


def hash_graphs(graphs: Sequence[ArchitectureGraph]) -> list[NDArray[np.uint64]]:
    """Returns the prefix hashes of many graphs, computed in one call of the native module."""
    if not graphs:
        return []
    return hash_layers([(g.layers, g.layer_digests, g.call_digests) for g in graphs])


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


def longest_common_prefix(child: ArchitectureGraph, ancestor: ArchitectureGraph) -> list[str]:
    """Returns the layers that two models have in common, each with all that leads to it.

    Args:
        child: the model whose layer names are returned.
        ancestor: the model to compare with.

    Returns:
        Stable names of layers in the child, in topological order. They name the same layers in
        the ancestor.
    """
    there = set(ancestor.layer_keys.tolist())
    keys = child.layer_keys.tolist()
    return [name for name, key in zip(child.layer_names, keys, strict=True) if key in there]
