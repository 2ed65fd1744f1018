"""What one evaluation is asked to do, read from a plain mapping."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Problem, get_problem
from parsl_tl.spaces import SearchSpace, get_space
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.runtime import derive_seed
from parsl_tl.transfer import TransferMethod, get_transfer_method

_OVERRIDES = ("epochs", "batch_size", "patience", "unfreeze_after")


@dataclass(frozen=True)
class EvaluationJob:
    """One evaluation: which architecture of which space, for which problem, trained how.

    Attributes:
        values: all keys and values, flat; see ``run_transfer_trainer`` for what they mean.
        spare_id: what the candidate is called if the job does not say.
    """

    values: Mapping[str, Any]
    spare_id: int = field(default_factory=lambda: secrets.randbits(64))

    @classmethod
    def read(cls, job: Mapping[str, Any], settings: Mapping[str, Any]) -> Self:
        """Reads a job: flat, with its values under ``"parameters"``, or DeepHyper's own.

        Args:
            job: what differs from evaluation to evaluation; it wins over ``settings``.
            settings: what all evaluations of a search share.
        """
        parameters = getattr(job, "parameters", None)  # a DeepHyper RunningJob
        if parameters is None:
            parameters = job.get("parameters", {})
            job = {name: value for name, value in job.items() if name != "parameters"}
        else:
            job = {}
        return cls({**settings, **job, **parameters})

    @property
    def threads(self) -> int | None:
        """Cores that the evaluation may use."""
        return self._integer("threads")

    @property
    def model_id(self) -> int:
        """Id of the candidate."""
        given = self._integer("model_id")
        return self.spare_id if given is None else given

    @property
    def parent(self) -> int | None:
        """Id of the model that the candidate is a mutation of."""
        return self._integer("parent")

    @cached_property
    def problem(self) -> Problem:
        """The problem; ``ProblemError`` if there is none."""
        return get_problem(self._required("problem"), **(self.values.get("problem_args") or {}))

    @cached_property
    def space(self) -> SearchSpace:
        """The search space; ``SpaceError`` if there is none."""
        return get_space(self._required("space"), **(self.values.get("space_args") or {}))

    @cached_property
    def arch_seq(self) -> list[int]:
        """One index per choice; ``SpaceError`` if they do not fit the space."""
        sequence = self.values.get("arch_seq")
        if sequence is None:  # a search that knows the choices by name only
            sequence = [self._required(choice.name) for choice in self.space.choices()]
        return self.space.check(sequence)

    def graph(self) -> ArchitectureGraph:
        """Builds the candidate's graph.

        Raises:
            SpaceError: there is no such space, or the sequence does not fit it.
            ProblemError: there is no such problem.
        """
        problem = self.problem
        return self.space.build(
            self.arch_seq,
            problem.input_shape,
            problem.output_shape,
            output_activation=problem.output_activation,
        )

    def config(self) -> TrainingConfig:
        """Makes the training configuration.

        Raises:
            InvalidValueError: a value that can never work.
            ProblemError: there is no such problem.
        """
        rate = self.values.get("learning_rate")
        return TrainingConfig.for_problem(
            self.problem,
            **{name: self._integer(name) for name in _OVERRIDES},
            learning_rate=None if rate is None else float(rate),
            optimizer=self.values.get("optimizer"),
            jit_compile=self.values.get("jit_compile"),
            transfer=self.values.get("transfer"),
            seed=derive_seed(self._integer("seed") or 0, self.arch_seq),
            model_id=self.model_id,
            parent=self.parent,
            attributes=self._attributes(),
        )

    def transfer_method(self) -> TransferMethod:
        """Makes the transfer method; ``"store"`` if there is a store and nothing else is said.

        Raises:
            TransferError: there is no such method.
            InvalidValueError: it is ``"store"``, and no store is named.
        """
        uri = self.values.get("store")
        name = self.values.get("transfer_method") or ("store" if uri else "none")
        kwargs = dict(self.values.get("transfer_args") or {})
        if uri and name != "none":
            kwargs["uri"] = uri
            if self.values.get("overlap_store"):
                kwargs["overlap"] = True
        elif name == "store":
            raise InvalidValueError(
                "transfer_method is 'store', but no store is named; set store to a URI such as "
                "'embedded:/scratch/run1'"
            )
        return get_transfer_method(name, **kwargs)

    def _attributes(self) -> dict[str, Any]:
        return {
            "problem": self.values["problem"],
            "space": self.values["space"],
            "arch_seq": self.arch_seq,
            **(self.values.get("attributes") or {}),
        }

    def _required(self, name: str) -> Any:
        if name not in self.values:
            raise InvalidValueError(f"the job does not say {name!r}; it has {sorted(self.values)}")
        return self.values[name]

    def _integer(self, name: str) -> int | None:
        value = self.values.get(name)
        return None if value is None else _as_int(name, value)


def _as_int(name: str, value: Any) -> int:
    """Reads an integer, numpy's included, but no text and no fraction."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise InvalidValueError(f"{name} is {value!r}; it must be an integer") from error
