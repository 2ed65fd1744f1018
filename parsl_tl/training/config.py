"""What a trainer needs: the problem, and how to train a model of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import not_
from typing import Any, Self

from parsl_tl.deprecation import renamed_fields, same
from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Problem
from parsl_tl.suggestions import check_names

_FROM_PROBLEM = ("epochs", "batch_size", "learning_rate", "optimizer")


@renamed_fields({"patience": ("early_stopping_patience", same), "transfer": ("from_scratch", not_)})
@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training recipe for one candidate.

    Attributes:
        problem: data, loss, metrics and objective.
        epochs: passes over the training data at most.
        batch_size: samples per step.
        learning_rate: of the optimizer.
        optimizer: a Keras optimizer name.
        early_stopping_patience: epochs without a better objective after which training stops;
            None never stops early.
        unfreeze_after: epochs after which what was transferred is thawed (earlier, if training
            would stop early) and trained too; None keeps it frozen. The epochs without a better
            objective count anew from then on.
        from_scratch: True transfers nothing; the model is stored all the same.
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
    early_stopping_patience: int | None = None
    unfreeze_after: int | None = None
    from_scratch: bool = False
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
        for name in ("early_stopping_patience", "unfreeze_after"):
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
