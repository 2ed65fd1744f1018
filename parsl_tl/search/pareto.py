"""The Pareto front: what nothing else beats in everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_optimal(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells which points no other point dominates: is as good in all, and better in one.

    Args:
        points: ``(n, m)``, larger is better; rows with NaN are dominated.

    Returns:
        One flag a row. Equal points are both optimal.
    """
    optimal: NDArray[np.bool_] = np.logical_not(np.isnan(points).any(axis=1))
    # From the best in the first figure down, so that a point is compared with a short front.
    order = np.lexsort(tuple(-column for column in points.T[::-1]))
    front = np.empty((0, points.shape[1]))
    for index in order:
        if not optimal[index]:
            continue
        point = points[index]
        as_good = (front >= point).all(axis=1)
        if (as_good & (front > point).any(axis=1)).any():
            optimal[index] = False
        else:
            front = np.vstack([front, point])
    return optimal
