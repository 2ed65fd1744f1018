"""Regularized evolution whose members expire, on DeepHyper's ``RegularizedEvolution``.

The algorithm is that of E. Real et al., "Regularized evolution for image classifier architecture
search", AAAI 2019: a first-in-first-out population, tournaments of ``sample_size`` members, and
children that differ from the winner in one choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from parsl_tl.errors import SpaceError
from parsl_tl.events import stages
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.search.candidate import arch_seq_of, candidate_config
from parsl_tl.search.evaluated import EvaluatedArchitectures, Identify
from parsl_tl.search.kept_figures import Figures
from parsl_tl.search.pareto import pareto_optimal
from parsl_tl.search.settings import check_sizes
from parsl_tl.search.short_history import ShortHistory
from parsl_tl.spaces import SearchSpace
from parsl_tl.spaces.mutation import choice_weights, mutate, random_arch_seq, uniform_weights
from parsl_tl.store.model_id import format_model_id

with mpi_left_alone():
    from deephyper.hpo import RegularizedEvolution

# How often a search proposes before it looks for something new anywhere in the space.
_PROPOSALS = 100


class Member(NamedTuple):
    """One of the population.

    Attributes:
        model_id: its model.
        arch_seq: its architecture.
        objective: what it reached; higher is better.
        figures: what else ranks it.
    """

    model_id: int
    arch_seq: tuple[int, ...]
    objective: float
    figures: Figures = Figures()


class ExpiringRegularizedEvolution(RegularizedEvolution):  # type: ignore[misc]
    """Regularized evolution for transfer learning.

    Beside one index per choice (under ``choices`` where a choice is called as a key of a job is),
    every configuration it asks for carries ``job`` (its number), ``model_id``, ``parent`` (None for
    random candidates) and ``transfer`` (False for those). No architecture is asked for twice while
    there are others. What is asked under a job number depends on the seed, that number, the
    population and what was asked before, so that an interrupted search goes on as if nothing had
    happened.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        population_size: int = 50,
        sample_size: int = 5,
        beta: float | None = None,
        seed: int = 0,
        model_id: Callable[[int], int] = int,
        on_expire: Callable[[int], None] | None = None,
        allow_repeats: bool = False,
        from_scratch: bool = False,
        random_transfer: bool = False,
        identify: Identify | None = None,
        refuse: Callable[[Sequence[int]], bool] | None = None,
        costs: Callable[[Sequence[int]], Sequence[float]] | None = None,
        figures: Callable[[int], Figures] | None = None,
        worth: Callable[[], float] | None = None,
        log_dir: str = ".",
        keep_history: bool = True,
    ) -> None:
        """Prepares a search with an empty population.

        Args:
            space: what is searched.
            population_size: members of the population.
            sample_size: members of a tournament; at most the population.
            beta: weight of late choices in mutation, see ``choice_weights``; None draws all
                choices with equal probability.
            seed: of all randomness.
            model_id: gives the id of the model of a job number.
            on_expire: called with the model id of a member that left the population.
            allow_repeats: ask for an architecture again whenever it comes up again.
            from_scratch: train children from scratch, too, as candidates without a parent are.
            random_transfer: let random candidates transfer, too, as children do.
            identify: gives equal things for sequences of equal architectures; by default they are
                compared themselves.
            refuse: tells whether an architecture is not to be evaluated, so that another is drawn.
            costs: gives what is minimized beside the objective; the best of a tournament is then
                drawn among its members that no other one beats in everything.
            figures: gives those of a model id that has finished: the loss, which decides between
                equal objectives (without it, the member that was drawn first wins), and what is
                minimized and known after training only.
            worth: gives what inherited training is worth by now; tournaments rank by the objective
                less that. None ranks by the objective.
            log_dir: required by DeepHyper, which writes nothing there.
            keep_history: keep all evaluations for the table that ``search`` returns; otherwise it
                has the last ones only, and memory does not grow with the search.

        Raises:
            InvalidValueError: sizes that do not fit together, or a beta below 1.
        """
        check_sizes(population_size, sample_size)
        super().__init__(
            space.problem(),
            random_state=seed,
            log_dir=log_dir,
            checkpoint_history_to_csv=False,
            population_size=population_size,
            sample_size=min(sample_size, population_size - 1),
        )
        if not keep_history:
            self.history = ShortHistory(self._problem)
        self.sample_size = sample_size
        self._population: deque[Member] = deque()
        self._space = space
        self._names = [choice.name for choice in space.choices()]
        self._weights = uniform_weights(space) if beta is None else choice_weights(space, beta)
        self._base_seed = seed
        self._model_id = model_id
        self._on_expire = on_expire
        self._next_job = 0
        self._again: deque[dict[str, Any]] = deque()
        self._allow_repeats = allow_repeats
        self._from_scratch = from_scratch
        self._random_transfer = random_transfer
        self._refuse = refuse or (lambda arch_seq: False)
        self._costs = costs
        self._figures = figures or (lambda model_id: Figures())
        self._worth = worth or (lambda: 0.0)
        self._evaluated = EvaluatedArchitectures(space, identify)

    @property
    def population(self) -> Sequence[Member]:
        """The members, oldest first."""
        return tuple(self._population)

    def num_left(self, limit: int) -> int:
        """Counts the evaluations that are left before an architecture repeats, up to a limit."""
        if self._allow_repeats:
            return limit
        return min(limit, len(self._again) + self._evaluated.num_left(limit))

    def restore(
        self, finished: Iterable[Mapping[str, Any]], unfinished: Iterable[Mapping[str, Any]]
    ) -> None:
        """Brings back the state of a search that was interrupted.

        Nothing expires in this: what had to be retired is the caller's to compare.

        Args:
            finished: configurations with their ``objective``, in the order they finished.
            unfinished: configurations that were asked for and never finished; they are asked for
                again, under the same job numbers, before any new one.
        """
        for config in finished:
            self._next_job = max(self._next_job, config["job"] + 1)
            self._evaluated.add(arch_seq_of(config, self._names))
            if isinstance(config["objective"], int | float):
                self._population.append(self._member(config, config["objective"]))
        while len(self._population) > self.population_size:
            self._population.popleft()
        for config in sorted(unfinished, key=lambda item: int(item["job"])):
            self._next_job = max(self._next_job, config["job"] + 1)
            self._evaluated.add(arch_seq_of(config, self._names))
            self._again.append(dict(config))

    def _member(self, config: Mapping[str, Any], objective: float) -> Member:
        arch_seq, model_id = tuple(arch_seq_of(config, self._names)), int(config["model_id"])
        return Member(model_id, arch_seq, float(objective), self._figures(model_id))

    def _ask(self, n: int = 1) -> list[dict[str, Any]]:
        return [self._ask_one() for _ in range(n)]

    def _ask_one(self) -> dict[str, Any]:
        job = self._again[0]["job"] if self._again else self._next_job
        stages.begin(job, "evaluation", "propose", job=job)
        config = self._again.popleft() if self._again else self._new_config()
        model_id, parent = config["model_id"], config["parent"]
        stages.annotate(
            job,
            model_id=format_model_id(model_id),
            parent=None if parent is None else format_model_id(parent),
        )
        with stages.about(job):
            stages.go_on("submit")
        return config

    def _new_config(self) -> dict[str, Any]:
        job = self._next_job
        self._next_job += 1
        rng = np.random.default_rng([self._base_seed, job])
        parent, arch_seq = self._propose(rng)
        parent, arch_seq = self._something_acceptable(parent, arch_seq, rng)
        self._evaluated.add(arch_seq)
        return candidate_config(
            self._names,
            arch_seq,
            job=job,
            model_id=self._model_id(job),
            parent=parent,
            from_scratch=self._from_scratch or (parent is None and not self._random_transfer),
        )

    def _propose(self, rng: np.random.Generator) -> tuple[int | None, list[int]]:
        """Returns a parent and a mutation of it; a random candidate while members are lacking."""
        if len(self._population) < self.population_size:
            return None, random_arch_seq(self._space, rng)
        drawn = rng.choice(len(self._population), size=self.sample_size, replace=False)
        winner = self._best([self._population[i] for i in drawn], rng)
        return winner.model_id, mutate(winner.arch_seq, self._space, rng, self._weights)

    def _best(self, members: Sequence[Member], rng: np.random.Generator) -> Member:
        """Returns the winner of a tournament."""
        sizes = [() if self._costs is None else self._costs(one.arch_seq) for one in members]
        costs = [(*own, *one.figures.costs) for own, one in zip(sizes, members, strict=True)]
        worth = self._worth()
        objectives = [one.objective - worth * one.figures.inherited for one in members]
        if costs[0]:
            points = np.column_stack([objectives, -np.array(costs, float)])
            front = np.flatnonzero(pareto_optimal(points))
            if len(front):
                return members[int(rng.choice(front))]
        ranks = [(own, -one.figures.loss) for own, one in zip(objectives, members, strict=True)]
        return members[max(range(len(members)), key=ranks.__getitem__)]

    def _something_acceptable(
        self, parent: int | None, arch_seq: list[int], rng: np.random.Generator
    ) -> tuple[int | None, list[int]]:
        """Returns the proposal, or others until one may be evaluated and was not asked for before.

        Raises:
            SpaceError: no architecture may be evaluated, wherever in the space it was looked for.
        """
        first = (parent, arch_seq)
        for _ in range(_PROPOSALS):
            if self._is_new(arch_seq) and not self._refuse(arch_seq):
                return parent, arch_seq
            parent, arch_seq = self._propose(rng)
        # All around the population is known, or refused: something from elsewhere, which has no
        # parent.
        for _ in range(_PROPOSALS):
            elsewhere = self._evaluated.draw(rng)
            if elsewhere is None:
                break
            if not self._refuse(elsewhere):
                return None, elsewhere
        if self._refuse(first[1]):
            raise SpaceError(
                f"space {self._space.name!r} gave no architecture that can be evaluated in "
                f"{2 * _PROPOSALS} attempts; raise the limits, or give the space smaller choices"
            )
        return first  # everything was evaluated before

    def _is_new(self, arch_seq: Sequence[int]) -> bool:
        return self._allow_repeats or arch_seq not in self._evaluated

    def _tell(self, results: Iterable[tuple[Mapping[str, Any], Any]]) -> None:
        for config, objective in results:
            if isinstance(objective, str):  # a failure is no member
                continue
            self._population.append(self._member(config, objective))
            if len(self._population) > self.population_size:
                expired = self._population.popleft()
                if self._on_expire is not None:
                    self._on_expire(expired.model_id)
