"""What a trainer is told: the problem, and how to train a model of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Problem
from parsl_tl.suggestions import check_names

_FROM_PROBLEM = ("epochs", "batch_size", "learning_rate", "optimizer")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training recipe for one candidate.

    Attributes:
        problem: data, loss, metrics and objective.
        epochs: at most so many passes over the training data.
        batch_size: samples per step.
        learning_rate: of the optimizer.
        optimizer: a Keras optimizer name.
        patience: stop after so many epochs without a better objective; None never stops early.
        unfreeze_after: thaw what was transferred after so many epochs (earlier, if patience runs
            out) and train it too; None keeps it frozen. Patience counts anew from then on.
        transfer: False starts from scratch; the model is stored all the same.
        seed: of initial weights, shuffling and dropout.
        jit_compile: compile with XLA; pays off only in long trainings.
        model_id: unsigned 64-bit id to store the model under.
        parent: id of the model that this one is a mutation of.
        attributes: kept with the stored model.

    Raises:
        InvalidValueError: a value that can never work.
    """

    problem: Problem
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    patience: int | None = None
    unfreeze_after: int | None = None
    transfer: bool = True
    seed: int = 0
    jit_compile: bool = False
    model_id: int | None = None
    parent: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __new__(cls, **values: Any) -> Self:
        """Refuses a field that there is not, with the nearest one that there is."""
        check_names(values, cls.__dataclass_fields__, cls.__name__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            self._check_integer(name, least, 2**63)
        for name in ("patience", "unfreeze_after"):
            if getattr(self, name) is not None:
                self._check_integer(name, 1, 2**63)
        for name in ("model_id", "parent"):
            if getattr(self, name) is not None:
                self._check_integer(name, 0, 2**64)
        rate = self.learning_rate
        if not (isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0):
            raise InvalidValueError(f"learning_rate is {rate!r}; it must be a positive number")

    @classmethod
    def for_problem(cls, problem: Problem, **overrides: Any) -> Self:
        """Takes epochs, batch size, learning rate and optimizer from the problem.

        Args:
            problem: whose recipe it is.
            **overrides: other values for these, and any further field; None leaves the default.

        Raises:
            InvalidValueError: a value that can never work, or a field that there is not.
        """
        values = {name: getattr(problem, name) for name in _FROM_PROBLEM}
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(problem=problem, **values)

    def _check_integer(self, name: str, least: int, limit: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < limit:
            raise InvalidValueError(
                f"{name} is {value!r}; it must be an integer from {least} to {limit - 1}"
            )
