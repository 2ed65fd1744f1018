"""What of an objective is due to training that was inherited, and not to the architecture.

The weights of a child carry the training of all ancestors, and those of a child that changed a late
layer carry more of it than those of one that changed an early layer. An evolution that ranks by
what they reached is drawn to late changes, whatever they are worth.

How much a model has inherited is counted in trainings: of its layers with weights, the share that
came over, times one training more than the donor had inherited. What that is worth is learned
while a search runs, from the differences between children and their parents: these are what the
mutation is worth, and so much for each unit of the logarithm of one and the trainings. Freezing for
good is a loss of the same form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

_LEAST_CHILDREN: Final = 4


class InheritedTraining:
    """Learns from the results of a search what inherited training is worth."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, float]] = {}  # trainings inherited, objective
        self._count = 0
        self._mean_x = self._mean_y = 0.0
        self._xx = self._xy = self._yy = 0.0

    def note(self, row: Mapping[str, Any]) -> float:
        """Takes in the result of an evaluation that succeeded, as a journal has it.

        Returns:
            The logarithm of one and the trainings that the model inherited.
        """
        config, told = row["config"], row["metadata"]
        trainings, objective = self._trainings(told), float(row["objective"])
        inherited = math.log1p(trainings)
        parent = self._known.get(config.get("parent"))
        if parent is not None and math.isfinite(objective - parent[1]):
            self._learn(inherited - math.log1p(parent[0]), objective - parent[1])
        self._known[int(config["model_id"])] = (trainings, objective)
        return inherited

    def _trainings(self, told: Mapping[str, Any]) -> float:
        layers, transferred = told.get("layers_total"), told.get("layers_transferred")
        if not layers or not transferred:
            return 0.0
        # A donor of another search is a model that was trained once.
        donor = self._known.get(told.get("donor") or 0, (0.0,))
        return float(transferred / layers * (1.0 + donor[0]))

    def _learn(self, x: float, y: float) -> None:
        """Adds a child to the sums of a least squares fit (Welford, 1962)."""
        self._count += 1
        dx, dy = x - self._mean_x, y - self._mean_y
        self._mean_x += dx / self._count
        self._mean_y += dy / self._count
        self._xx += dx * (x - self._mean_x)
        self._xy += dx * (y - self._mean_y)
        self._yy += dy * (y - self._mean_y)

    @property
    def worth(self) -> float:
        """What a unit of ``note`` adds to an objective; 0 as far as that may be chance.

        It is the slope of least squares, shrunk by as much as its square exceeds that of its
        standard error (James and Stein, 1961, the positive part).
        """
        if self._count < _LEAST_CHILDREN or self._xx <= 0.0:
            return 0.0
        slope = self._xy / self._xx
        error = max(0.0, self._yy - slope * self._xy) / (self._count - 2) / self._xx
        return 0.0 if error >= slope * slope else slope - error / slope
