"""The validation loss of the weights that were kept: what decides between equal objectives.

On few validation rows many candidates are right on all of them; the loss still tells how sure they
are. What was not trained in this release or not at all (a result of a table, an evaluation that an
earlier attempt had stored) has no loss, and comes after its equals that have one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LOSS = "val_loss"


def kept_metrics(metadata: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the metrics of the epoch whose weights were kept; None for what was not finite."""
    epoch = max(metadata.get("best_epoch") or 0, 1) - 1
    history = metadata.get("history") or {}
    return {name: values[epoch] for name, values in history.items() if epoch < len(values)}


class KeptLosses:
    """The losses of models that have finished and that the search was not told of yet."""

    def __init__(self) -> None:
        """Starts without any."""
        self._losses: dict[int, float] = {}

    def note(self, row: Mapping[str, Any]) -> None:
        """Takes in a result, as a journal has it."""
        if not isinstance(row["objective"], str):  # a failure is no member of a population
            self._losses[int(row["config"]["model_id"])] = kept_loss(row["metadata"])

    def take(self, model_id: int) -> float:
        """Returns the loss of a model, and forgets it."""
        return self._losses.pop(model_id, math.inf)


def kept_loss(metadata: Mapping[str, Any]) -> float:
    """Returns the validation loss of the weights that were kept; infinite where there is none."""
    loss = kept_metrics(metadata).get(LOSS)
    return math.inf if loss is None else float(loss)
