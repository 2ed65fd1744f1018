"""How many choices lose their trained layers when another one changes, counted on graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import ImpossibleArchitectureError

Build = Callable[[Sequence[int]], ArchitectureGraph]

# Of architectures that cannot exist there may be many.
_MAX_DRAWS = 100
_MAX_VALUES = 8
_MOST = 0.7


def count_invalidated(sizes: Sequence[int], build: Build, num_architectures: int) -> list[int]:
    """Counts, for each choice, the later ones whose layers a change of it invalidates.

    In the graph of one architecture, the layers that are a choice's own are those that change with
    it while all of their inputs stay. A choice invalidates another if it changes layers that are
    the other's own in most architectures in which both have any. In a few it seems so, or not so,
    by chance: where a layer has a twin, or is as the one before it.

    Args:
        sizes: how many values each choice has.
        build: builds an architecture.
        num_architectures: how many are looked at; a graph is built for each of their choices.

    Returns:
        One number per choice.
    """
    rng = np.random.default_rng(0)
    count = len(sizes)
    found, told = np.zeros((2, count, count), np.int64)
    for _ in range(_MAX_DRAWS):
        if num_architectures == 0:
            break
        arch_seq = [int(rng.integers(size)) for size in sizes]
        graph = _try(build, arch_seq)
        if graph is not None:
            changed = [
                _changed(arch_seq, index, sizes[index], graph, build) for index in range(count)
            ]
            own = [_own(graph, layers) for layers in changed]
            for first in range(count):
                for later in range(first + 1, count):
                    if changed[first] and own[later]:
                        told[first, later] += 1
                        found[first, later] += bool(own[later] & changed[first])
            num_architectures -= 1
    return [int(number) for number in ((found > 0) & (found >= _MOST * told)).sum(axis=1)]


def _try(build: Build, arch_seq: Sequence[int]) -> ArchitectureGraph | None:
    try:
        return build(arch_seq)
    except ImpossibleArchitectureError:
        return None


def _changed(
    arch_seq: Sequence[int], index: int, size: int, graph: ArchitectureGraph, build: Build
) -> set[int]:
    """Returns the layers of a graph that are lost when a choice changes."""
    # The first value often is to have no layer, which changes less.
    others = [value for value in reversed(range(size)) if value != arch_seq[index]]
    for other in others[:_MAX_VALUES]:
        neighbour = _try(build, [*arch_seq[:index], other, *arch_seq[index + 1 :]])
        if neighbour is not None:
            kept = set(neighbour.prefix_hashes.tolist())
            hashes = enumerate(graph.prefix_hashes.tolist())
            return {number for number, value in hashes if value not in kept}
    return set()


def _own(graph: ArchitectureGraph, changed: set[int]) -> set[int]:
    """Returns the first ones among the layers that change."""
    return {
        number
        for number in changed
        if not any(
            ref.layer in changed for call in graph.layers[number].calls for ref in call.inputs
        )
    }
