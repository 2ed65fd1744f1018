"""What trackers are told of an evaluation, in the forms that they take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from parsl_tl.search.callbacks import Evaluation


class Scalar(NamedTuple):
    """A value of a metric, at an epoch."""

    name: str
    step: int
    value: float


class Progress:
    """The search as curves over its evaluations: each objective, the best so far, the failures."""

    def __init__(self) -> None:
        self.count = 0
        self._best = -math.inf
        self._failed = 0

    def after(self, evaluation: Evaluation) -> list[Scalar]:
        """Returns the points that an evaluation adds; steps count evaluations as they ended."""
        self.count += 1
        points = []
        if evaluation.objective is None:
            self._failed += 1
        else:
            self._best = max(self._best, evaluation.objective)
            points.append(Scalar("objective", self.count, evaluation.objective))
        if math.isfinite(self._best):
            points.append(Scalar("best", self.count, self._best))
        return [*points, Scalar("failed", self.count, float(self._failed))]


def epochs(evaluation: Evaluation) -> Iterator[Scalar]:
    """Gives every finite value of every metric, epoch by epoch, from 1."""
    for name, values in evaluation.history.items():
        for number, value in enumerate(values, 1):
            if value is not None and math.isfinite(value):
                yield Scalar(name, number, float(value))


def outcome(evaluation: Evaluation) -> list[Scalar]:
    """Returns the objective and the figures that are numbers, at the last epoch."""
    last = max(map(len, evaluation.history.values()), default=0)
    found = [
        Scalar(name, last, float(value))
        for name, value in evaluation.figures.items()
        if _is_number(value) and not name.endswith("_ns")
    ]
    if evaluation.objective is None:
        return found
    return [Scalar("objective", last, evaluation.objective), *found]


def parameters(choices: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Returns choices as plain values: booleans, numbers and texts."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in choices
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
