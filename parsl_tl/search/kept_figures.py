"""Figures of the weights that were kept: what ranks models beside their objective.

On few validation rows many candidates are right on all of them; the loss still tells how sure they
are, and decides between equal objectives. What was not trained in this release, or not at all (a
result of a table, an evaluation that an earlier attempt had stored) has no loss, and comes after
its equals that have one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from parsl_tl.errors import InvalidValueError
from parsl_tl.search.inherited_training import InheritedTraining

LOSS = "val_loss"
RankBy = Literal["objective", "architecture"]
RANK_BY: Final[tuple[RankBy, ...]] = ("objective", "architecture")
"""What tournaments rank by: what was reached, or that less what inherited training is worth."""


class Figures(NamedTuple):
    """What ranks a model beside its objective.

    Attributes:
        loss: of the validation rows; infinite where there is none.
        costs: what is to be small, in order; NaN for one that is not known.
        inherited: training, as ``InheritedTraining.note`` has it.
    """

    loss: float = math.inf
    costs: tuple[float, ...] = ()
    inherited: float = 0.0


class KeptFigures:
    """The figures of models that have finished and that the search was not told of yet.

    Args:
        costs: entries of the training history, or of what an evaluation reports, that are to be
            small; large with a leading ``-``.

    Attributes:
        training: what inherited training is worth.
    """

    def __init__(self, costs: Sequence[str] = ()) -> None:
        self.training = InheritedTraining()
        self._costs = tuple(costs)
        self._figures: dict[int, Figures] = {}

    def note(self, row: Mapping[str, Any]) -> None:
        """Takes in a result, as a journal has it.

        Raises:
            InvalidValueError: what it reports has no such cost.
        """
        if isinstance(row["objective"], str):  # a failure is no member of a population
            return
        metadata = row["metadata"]
        costs = tuple(kept_cost(metadata, name) for name in self._costs)
        figures = Figures(kept_loss(metadata), costs, self.training.note(row))
        self._figures[int(row["config"]["model_id"])] = figures

    def worth_by(self, rank_by: RankBy) -> Callable[[], float] | None:
        """Returns what gives what inherited training is worth; None where that does not count."""
        return (lambda: self.training.worth) if rank_by == "architecture" else None

    def take(self, model_id: int) -> Figures:
        """Returns the figures of a model, and forgets them."""
        return self._figures.pop(model_id, Figures(costs=(math.nan,) * len(self._costs)))


def kept_metrics(metadata: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the metrics of the epoch whose weights were kept; None for what was not finite."""
    epoch = max(metadata.get("best_epoch") or 0, 1) - 1
    history = metadata.get("history") or {}
    return {name: values[epoch] for name, values in history.items() if epoch < len(values)}


def kept_loss(metadata: Mapping[str, Any]) -> float:
    """Returns the validation loss of the weights that were kept; infinite where there is none."""
    loss = kept_metrics(metadata).get(LOSS)
    return math.inf if loss is None else float(loss)


def kept_cost(metadata: Mapping[str, Any], name: str) -> float:
    """Returns a figure that is to be small; NaN where an earlier attempt had stored the model.

    Args:
        metadata: what an evaluation reported.
        name: of the figure; with a leading ``-`` it is to be large, and is negated.

    Raises:
        InvalidValueError: the evaluation reported other figures.
    """
    key = name.removeprefix("-")
    metrics = kept_metrics(metadata)
    if metrics and key not in metrics and key not in metadata:
        raise InvalidValueError(
            f"minimize has {name!r}, but training reports {', '.join(sorted(metrics))}; choose one "
            "of these in a new campaign, or add the metric to the problem"
        )
    value = metrics.get(key, metadata.get(key))
    number = math.nan if value is None else float(value)
    return -number if name.startswith("-") else number
