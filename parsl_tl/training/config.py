"""What a trainer needs: the problem, and how to train a model of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import not_
from typing import Any, Self

from parsl_tl.deprecation import renamed_fields, same
from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Problem
from parsl_tl.problems.node_cache import NodeCache
from parsl_tl.problems.problem import read_objective
from parsl_tl.suggestions import check_names
from parsl_tl.training.batch_growth import BatchGrowth
from parsl_tl.training.cutting import CUT_PREFIX, CutPrefix
from parsl_tl.training.inheritance import Inheritance, Thaw, read_inheritance
from parsl_tl.training.schedules import Schedule, read_schedule

_FROM_PROBLEM = (
    *("epochs", "batch_size", "learning_rate", "optimizer", "optimizer_args", "clip_norm"),
    *("schedule", "early_stopping_patience", "dtype_policy", "objective"),
)


@renamed_fields({"patience": ("early_stopping_patience", same), "transfer": ("from_scratch", not_)})
@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training recipe for one candidate.

    Attributes:
        problem: data, loss, metrics and objective.
        epochs: passes over the training data at most.
        batch_size: samples per step.
        batch_growth: how batches grow from epoch to epoch, such as ``"2:3:1024"``; None keeps their
            size. See ``parsl_tl.training.batch_growth``.
        learning_rate: of the optimizer.
        optimizer: a Keras optimizer name.
        optimizer_args: further arguments of the optimizer.
        clip_norm: norm that the gradient of each weight is clipped to; None clips nothing.
        schedule: how the learning rate changes; see ``parsl_tl.training.schedules``.
        dtype_policy: a Keras dtype policy for all layers but the outputs; None is float32.
        objective: entry of the history to maximize, with a leading ``-`` to minimize.
        early_stopping_patience: epochs without a better objective after which training stops;
            None never stops early.
        inherit: what becomes of the layers that came over: ``"freeze"`` (None, the default),
            ``"freeze:0.5"``, ``"thaw:2"``, ``"thaw-down:1"``, ``"slow:0.1"``, ``"shrink:0.5"``,
            ``"scratch"``, or a policy of your own; see ``parsl_tl.training.inheritance``. A stage
            ends earlier where training would stop early, and the epochs without a better objective
            count anew then.
        unfreeze_after: epochs; the same as ``inherit="thaw:<epochs>"``.
        train_whole_matches: train a candidate of which everything came over, all layers, instead
            of judging it as it is: where training itself is searched, it may differ from its donor
            in that alone.
        cut_prefix: where what came over stays frozen, compute its outputs once and train the rest
            on them: ``"auto"`` where that saves time, ``"always"`` where it fits, or ``"off"``. The
            objective stays the same but for rounding. ``"auto"`` also holds layers that are thawed
            next by a learning rate of 0, where that saves time; see ``training.held_layers``.
        frontier_limit: bytes that these outputs may take, over all rows; more are not kept.
        prefix_cache: where such outputs are kept for other models with the same layers; None keeps
            none.
        from_scratch: True transfers nothing; the model is stored all the same.
        donors: whose weights may be taken over: ``"same"`` for models of the same data only,
            ``"any"``, or a list of fingerprints (``Problem.fingerprint``) beside its own.
        seed: of initial weights, shuffling and dropout.
        jit_compile: compile with XLA. With TensorFlow that pays off in long trainings only; None
            does it with JAX alone, which runs every operation by itself otherwise.
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
    optimizer_args: Mapping[str, Any] = field(default_factory=dict)
    clip_norm: float | None = None
    batch_growth: str | None = None
    schedule: Schedule | None = None
    dtype_policy: str | None = None
    objective: str = ""
    early_stopping_patience: int | None = None
    inherit: str | None = None
    unfreeze_after: int | None = None
    train_whole_matches: bool = False
    cut_prefix: CutPrefix = "auto"
    frontier_limit: int = 2**30
    prefix_cache: NodeCache | None = None
    from_scratch: bool = False
    donors: str | Sequence[int] = "same"
    seed: int = 0
    jit_compile: bool | None = None
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
        self._check_integer("frontier_limit", 0, 2**63)
        if self.cut_prefix not in CUT_PREFIX:
            raise InvalidValueError(
                f"cut_prefix is {self.cut_prefix!r}; choose from {', '.join(CUT_PREFIX)}"
            )
        for name in ("early_stopping_patience", "unfreeze_after"):
            if getattr(self, name) is not None:
                self._check_integer(name, 1, 2**63)
        self.inheritance()  # refuses what is none
        self.growth()
        for name in ("model_id", "parent"):
            if getattr(self, name) is not None:
                self._check_integer(name, 0, 2**64)
        rate = self.learning_rate
        if not (isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0):
            raise InvalidValueError(f"learning_rate is {rate!r}; it must be a positive number")
        norm = self.clip_norm
        if norm is not None and not (isinstance(norm, (int, float)) and 0 < norm < math.inf):
            raise InvalidValueError(f"clip_norm is {norm!r}; it must be a positive number")
        if self.schedule is not None:
            read_schedule(self.schedule)
        if not self.objective:
            object.__setattr__(self, "objective", self.problem.objective)
        if isinstance(self.donors, str) and self.donors not in ("same", "any"):
            raise InvalidValueError(
                f"donors is {self.donors!r}; choose 'same', 'any', or a list of fingerprints"
            )

    def inheritance(self) -> Inheritance:
        """Makes the policy by which inherited layers are trained.

        Raises:
            InvalidValueError: there is no such policy, or two of them.
        """
        if self.unfreeze_after is None:
            return read_inheritance(self.inherit or "freeze")
        if self.inherit is not None:
            raise InvalidValueError(
                f"unfreeze_after={self.unfreeze_after} means inherit='thaw:{self.unfreeze_after}', "
                f"and inherit is {self.inherit!r}; leave one of them out"
            )
        return Thaw(self.unfreeze_after)

    def growth(self) -> BatchGrowth | None:
        """Reads how batches grow; None for batches of one size.

        Raises:
            InvalidValueError: it says nothing that can be.
        """
        return None if self.batch_growth is None else BatchGrowth.read(self.batch_growth)

    def is_compiled(self) -> bool:
        """Whether Keras' backend, which is loaded, compiles the steps of a training with XLA."""
        if self.jit_compile is not None:
            return self.jit_compile
        import keras

        return bool(keras.backend.backend() == "jax")

    def score(self, logs: Mapping[str, float]) -> float:
        """Reads the objective from one epoch's history; larger is better.

        Raises:
            ProblemError: the history has no such entry.
        """
        if self.objective == self.problem.objective:
            return self.problem.score(logs)  # which may be a way of its own
        return read_objective(self.objective, logs, self.problem.name)

    def fingerprints(self) -> list[int] | None:
        """Returns the fingerprints of the data whose models may be donors; None for all."""
        if self.donors == "any":
            return None
        others = [] if isinstance(self.donors, str) else self.donors
        return [self.problem.fingerprint(), *map(int, others)]

    @classmethod
    def for_problem(cls, problem: Problem, **overrides: Any) -> Self:
        """Takes the recipe from the problem.

        Args:
            problem: whose recipe it is.
            **overrides: other values, and any further field; None leaves the problem's.

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
