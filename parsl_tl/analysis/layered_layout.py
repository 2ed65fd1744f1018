"""Where the layers of a graph stand in its picture: levels from top to bottom, places in each.

The order within levels is that of Sugiyama's method (K. Sugiyama, S. Tagawa, M. Toda, "Methods for
visual understanding of hierarchical system structures", IEEE SMC 11(2), 1981), as igraph has it.
Edges over several levels run through waypoints, one per level, which edges of one source share.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import AnalysisError

# Widths in boxes: what a layer and a waypoint take of a level, the space beside them included.
_BOX, _WAYPOINT = 1.0, 0.22
_SWEEPS = 60
# How much an edge wants to be straight, by how many of its ends are waypoints (after E. Gansner et
# al., "A technique for drawing directed graphs", IEEE TSE 19(3), 1993).
_STRAIGHT = (1.0, 2.0, 8.0)


class Placement(NamedTuple):
    """Layers and waypoints: the first ``n`` points are the layers of the graph.

    Attributes:
        x: float64, one per point, in widths of a box; the leftmost edge is at 0.
        level: int64, one per point; inputs are at 0, all other layers right below the lowest of
            their inputs. Layers with equal histories are at equal levels in any two graphs.
        edges: int64 [m, 2], (upper, lower) point, each from one level to the next.
        routes: for each distinct (source, target) of the graph the points it runs through; only
            the two ends where it leads up again, as it may from a layer to one that is shared.
        width: of the whole, in widths of a box.
    """

    x: NDArray[np.float64]
    level: NDArray[np.int64]
    edges: NDArray[np.int64]
    routes: dict[tuple[int, int], list[int]]
    width: float


def place(graph: ArchitectureGraph) -> Placement:
    """Places the layers of a graph.

    Raises:
        AnalysisError: igraph is not installed.
    """
    pairs = sorted({(int(a), int(b)) for a, b in graph.edges if a != b})
    level = _levels(len(graph), pairs)
    routes, level = _route(pairs, level)
    steps = {step for route in routes.values() for step in itertools.pairwise(route)}
    downwards = sorted(step for step in steps if level[step[0]] < level[step[1]])
    edges = np.array(downwards, np.int64).reshape(-1, 2)
    half = np.full(len(level), _WAYPOINT / 2)
    half[: len(graph)] = _BOX / 2
    x = _straighten(_order(level, edges), level, edges, half)
    x -= (x - half).min()
    return Placement(x, level, edges, routes, float((x + half).max()))


def _levels(num_layers: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Returns the length of the longest way from an input to each layer."""
    level = np.zeros(num_layers, np.int64)
    # Shared layers may feed each other; a pair against the topological order moves nothing.
    for source, target in sorted(pairs, key=lambda pair: pair[1]):
        if source < target:
            level[target] = max(level[target], level[source] + 1)
    return level


def _route(
    pairs: list[tuple[int, int]], level: NDArray[np.int64]
) -> tuple[dict[tuple[int, int], list[int]], NDArray[np.int64]]:
    """Adds waypoints; those of one source are shared, so that its edges fork as late as can be."""
    levels = level.tolist()
    waypoints: dict[tuple[int, int], int] = {}
    routes = {}
    for source, target in pairs:
        route = [source]
        for between in range(levels[source] + 1, levels[target]):
            if (source, between) not in waypoints:
                waypoints[source, between] = len(levels)
                levels.append(between)
            route.append(waypoints[source, between])
        routes[source, target] = [*route, target]
    return routes, np.array(levels, np.int64)


def _order(level: NDArray[np.int64], edges: NDArray[np.int64]) -> list[list[int]]:
    """Returns the points of each level from left to right, with few crossings."""
    try:
        import igraph
    except ModuleNotFoundError:
        raise AnalysisError(
            "pictures of graphs need igraph: pip install 'parsl-tl[plot]'"
        ) from None
    drawn = igraph.Graph(n=len(level), edges=edges.tolist(), directed=True)
    coordinates = drawn.layout_sugiyama(layers=level.tolist(), maxiter=500).coords
    rows: list[list[int]] = [[] for _ in range(int(level.max()) + 1)]
    for point in sorted(range(len(level)), key=lambda i: coordinates[i][0]):
        rows[level[point]].append(point)
    return rows


def _straighten(
    rows: list[list[int]],
    level: NDArray[np.int64],
    edges: NDArray[np.int64],
    half: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns x such that edges are short, the order is kept and nothing overlaps.

    Level by level, down and up again, every point moves towards the mean of its neighbours; what
    would overlap is settled by least squares (isotonic regression of what remains of the
    coordinates when the minimal distances are taken off).
    """
    x = np.zeros(len(level))
    offsets = []
    for row in rows:
        gaps = half[row]
        offset = np.concatenate([[0.0], np.cumsum(gaps[:-1] + gaps[1:])])
        offsets.append(offset - offset.mean())
        x[row] = offsets[-1]
    neighbours: list[list[int]] = [[] for _ in level]
    weights: list[list[float]] = [[] for _ in level]
    bent = (half < _BOX / 2).astype(int)
    for upper, lower in edges.tolist():
        weight = _STRAIGHT[bent[upper] + bent[lower]]
        for here, there in ((upper, lower), (lower, upper)):
            neighbours[here].append(there)
            weights[here].append(weight)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for number in range(len(rows))[:: 1 if downwards else -1]:
            row = rows[number]
            wanted = [
                np.average(x[neighbours[i]], weights=weights[i]) if neighbours[i] else x[i]
                for i in row
            ]
            x[row] = _isotonic(np.array(wanted) - offsets[number]) + offsets[number]
    return x


def _isotonic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the nondecreasing sequence that is nearest in squares (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean = (before * size + mean * count) / (size + count)
            count += size
        pools.append((mean, count))
    return np.repeat([mean for mean, _ in pools], [count for _, count in pools])
