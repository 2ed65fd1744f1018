"""What one evaluation is asked to do, read from a plain mapping."""

from __future__ import annotations

import logging
import operator
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import InvalidValueError, SpaceError
from parsl_tl.imports import add_import_folders
from parsl_tl.problems import Problem, get_problem
from parsl_tl.problems.node_cache import NodeCache, node_folder
from parsl_tl.spaces import SearchSpace, get_space
from parsl_tl.spaces.hyperparameters import with_hyperparameters
from parsl_tl.store.connection import SITE_STORE_VARIABLE
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.namespaces import SortedKeys, sort_keys
from parsl_tl.training.runtime import derive_seed
from parsl_tl.transfer import TransferMethod, get_transfer_method
from parsl_tl.transfer.registry import find_transfer_method
from parsl_tl.transfer.same_store import check_same_folder, check_same_store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationJob:
    """One evaluation: which architecture of which space, for which problem, trained how.

    Attributes:
        given: what differs from evaluation to evaluation; see ``run_transfer_trainer``.
        settings: what all evaluations of a search share.
        spare_id: what the candidate is called if the job does not say.
    """

    given: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
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
            if not isinstance(parameters, Mapping):
                raise InvalidValueError(f"parameters is {parameters!r}; it must be a mapping")
            job = {name: value for name, value in job.items() if name != "parameters"}
        else:
            job = {}
        return cls({**job, **parameters}, settings)

    @cached_property
    def keys(self) -> SortedKeys:
        """All keys, by whose they are; ``InvalidValueError`` if that cannot be told."""
        try:
            names = [choice.name for choice in self.space.choices()]
        except (SpaceError, InvalidValueError):
            names = None  # told when the graph is built
        keys = sort_keys(self.given, self.settings, names)
        own = os.environ.get(SITE_STORE_VARIABLE)
        if own and "store" in keys.values:
            # Another store than the search's, which follows it.
            return replace(keys, values={**keys.values, "store": own, "store_id": None})
        return keys

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

    def check_store(self) -> None:
        """Looks whether this process sees the search's models, if the job says where they are.

        Raises:
            StoreElsewhereError: it sees another store or folder, or none.
        """
        expected = self.keys.values.get("store_id")
        if expected is None:
            return
        if "store" in self.keys.values:
            check_same_store(self.keys.values["store"], expected)
        else:
            check_same_folder(self.keys.values["transfer_args"]["folder"], expected)

    @cached_property
    def problem(self) -> Problem:
        """The problem; ``ProblemError`` if there is none."""
        self._add_import_folders()
        problem = get_problem(
            self._required("problem"), **(self.keys.values.get("problem_args") or {})
        )
        least_bytes = (self.keys.values.get("node_cache") or {}).get("data_bytes") or 0
        cache = self._node_cache("data") if least_bytes else None
        if cache is not None:
            problem.share_on_node(cache, least_bytes)
        return problem

    def _node_cache(self, what: str, budget: int | None = None) -> NodeCache | None:
        """Returns what the processes of this node share; None where they can share nothing."""
        try:
            return NodeCache(node_folder(self.keys.values["node_cache"]["run"]) / what, budget)
        except OSError as error:
            logger.warning("nothing is shared on this node: %s", error)
            return None

    @cached_property
    def space(self) -> SearchSpace:
        """The search space; ``SpaceError`` if there is none."""
        self._add_import_folders()
        name, arguments = (
            self._before_choices("space", str),
            self._before_choices("space_args", Mapping),
        )
        if name is None:
            names = sorted({*self.settings, *self.given})
            raise InvalidValueError(f"the job does not say 'space'; it has {names}")
        hyperparameters = self._before_choices("hyperparameters", Mapping)
        return with_hyperparameters(get_space(name, **(arguments or {})), hyperparameters)

    def _before_choices(self, name: str, kind: type) -> Any:
        """Returns what must be known before the space's choices are: one may be called the same."""
        given = self.given.get(name)
        return given if isinstance(given, kind) else self.settings.get(name)

    def _add_import_folders(self) -> None:
        add_import_folders(self._before_choices("import_folders", list) or ())

    @cached_property
    def arch_seq(self) -> list[int]:
        """One index per choice; ``SpaceError`` if they do not fit the space."""
        sequence = self.keys.values.get("arch_seq")
        names = [choice.name for choice in self.space.choices()]
        if sequence is None or self.keys.choices:  # a search that knows the choices by name only
            missing = [name for name in names if name not in self.keys.choices]
            if missing:
                raise InvalidValueError(
                    f"the job does not say choice {missing[0]!r}; it has neither arch_seq nor all "
                    f"{len(names)} choices of its space"
                )
            sequence = [self.keys.choices[name] for name in names]
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
            problem.output_heads(),
        )

    def config(self) -> TrainingConfig:
        """Makes the training configuration.

        Raises:
            InvalidValueError: a value that can never work.
            ProblemError: there is no such problem.
        """
        prefix_bytes = (self.keys.values.get("node_cache") or {}).get("prefix_bytes")
        return TrainingConfig.for_problem(
            self.problem,
            prefix_cache=self._node_cache("prefixes", prefix_bytes) if prefix_bytes else None,
            # What is a choice of the space is chosen, whatever holds for all candidates.
            **{**read_training(self.keys.training), **self.space.training(self.arch_seq)},
            train_whole_matches=bool(self.space.training(self.arch_seq)),
            donors=self.keys.values.get("donors"),
            from_scratch=self.keys.values.get("from_scratch"),
            seed=derive_seed(self._integer("seed") or 0, self.arch_seq),
            model_id=self.model_id,
            parent=self.parent,
            attributes=self._attributes(),
        )

    def transfer_method(self) -> TransferMethod:
        """Makes the transfer method; ``"store"`` if there is a store and nothing else is said.

        Raises:
            TransferError: there is no such method.
            InvalidValueError: it needs a store and none is named, or the other way round.
        """
        uri = self.keys.values.get("store")
        name = self.keys.values.get("transfer_method") or ("store" if uri else "none")
        kwargs = dict(self.keys.values.get("transfer_args") or {})
        needs = getattr(find_transfer_method(name), "needs", "uri" if uri else None)
        if needs == "uri":
            if not uri:
                raise InvalidValueError(
                    f"transfer_method is {name!r}, but no store is named; set store to a URI such "
                    "as 'embedded:/scratch/run1'"
                )
            kwargs["uri"] = uri
            if self.keys.values.get("overlap_store"):
                kwargs["overlap"] = True
        elif uri and needs is not None:
            raise InvalidValueError(
                f"store={uri!r} does not go with transfer_method {name!r}, which keeps its models "
                f"by itself; leave it out, and set {needs} in transfer_args"
            )
        return get_transfer_method(name, **kwargs)

    def _attributes(self) -> dict[str, Any]:
        return {
            "problem": self.keys.values["problem"],
            "space": self.keys.values["space"],
            "arch_seq": self.arch_seq,
            **(self.keys.values.get("attributes") or {}),
        }

    def _required(self, name: str) -> Any:
        if name not in self.keys.values:
            raise InvalidValueError(
                f"the job does not say {name!r}; it has {sorted(self.keys.values)}"
            )
        return self.keys.values[name]

    def _integer(self, name: str) -> int | None:
        value = self.keys.values.get(name)
        return None if value is None else _as_int(name, value)


def read_training(training: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the values of ``TRAINING_KEYS``, numpy's included, as ``TrainingConfig`` takes them.

    Raises:
        InvalidValueError: a value of another kind.
    """
    values = dict(training)
    integers = ("epochs", "batch_size", "early_stopping_patience", "unfreeze_after")
    for name in (*integers, "frontier_limit"):
        if values.get(name) is not None:
            values[name] = _as_int(name, values[name])
    for name in ("learning_rate", "clip_norm"):
        if values.get(name) is not None:
            try:
                values[name] = float(values[name])
            except (TypeError, ValueError) as error:
                raise InvalidValueError(
                    f"{name} is {values[name]!r}; it must be a positive number"
                ) from error
    return values


def _as_int(name: str, value: Any) -> int:
    """Reads an integer, numpy's included, but no text and no fraction."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise InvalidValueError(f"{name} is {value!r}; it must be an integer") from error
