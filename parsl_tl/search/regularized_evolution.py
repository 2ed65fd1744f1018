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

from parsl_tl.errors import InvalidValueError
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.search.mutation import choice_weights, mutate, random_arch_seq, uniform_weights
from parsl_tl.search.short_history import ShortHistory
from parsl_tl.spaces import SearchSpace

with mpi_left_alone():
    from deephyper.hpo import RegularizedEvolution


class Member(NamedTuple):
    """One of the population.

    Attributes:
        model_id: its model.
        arch_seq: its architecture.
        objective: what it reached; higher is better.
    """

    model_id: int
    arch_seq: tuple[int, ...]
    objective: float


class ExpiringRegularizedEvolution(RegularizedEvolution):  # type: ignore[misc]
    """Regularized evolution for transfer learning.

    Beside one index per choice, every configuration it asks for carries ``job`` (its number),
    ``model_id``, ``parent`` (None for random candidates) and ``transfer`` (False for those).
    What is asked under a job number depends on the seed, that number and the population alone, so
    that an interrupted search goes on as if nothing had happened.
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
            log_dir: required by DeepHyper, which writes nothing there.
            keep_history: keep all evaluations for the table that ``search`` returns; otherwise it
                has the last ones only, and memory does not grow with the search.

        Raises:
            InvalidValueError: sizes that do not fit together, or a beta below 1.
        """
        if population_size < 2 or not 1 <= sample_size <= population_size:
            raise InvalidValueError(
                f"population_size={population_size} must be at least 2, and "
                f"sample_size={sample_size} from 1 to the population's"
            )
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

    @property
    def population(self) -> Sequence[Member]:
        """The members, oldest first."""
        return tuple(self._population)

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
            if isinstance(config["objective"], int | float):
                self._population.append(self._member(config, config["objective"]))
        while len(self._population) > self.population_size:
            self._population.popleft()
        for config in sorted(unfinished, key=lambda item: int(item["job"])):
            self._next_job = max(self._next_job, config["job"] + 1)
            self._again.append(dict(config))

    def _member(self, config: Mapping[str, Any], objective: float) -> Member:
        arch_seq = tuple(int(config[name]) for name in self._names)
        return Member(int(config["model_id"]), arch_seq, float(objective))

    def _ask(self, n: int = 1) -> list[dict[str, Any]]:
        asked = []
        for _ in range(n):
            asked.append(self._again.popleft() if self._again else self._new_config())
        return asked

    def _new_config(self) -> dict[str, Any]:
        job = self._next_job
        self._next_job += 1
        rng = np.random.default_rng([self._base_seed, job])
        if len(self._population) < self.population_size:
            parent, arch_seq = None, random_arch_seq(self._space, rng)
        else:
            drawn = rng.choice(len(self._population), size=self.sample_size, replace=False)
            winner = max((self._population[i] for i in drawn), key=lambda m: m.objective)
            parent = winner.model_id
            arch_seq = mutate(winner.arch_seq, self._space, rng, self._weights)
        return {
            **dict(zip(self._names, arch_seq, strict=True)),
            "job": job,
            "model_id": self._model_id(job),
            "parent": parent,
            "transfer": parent is not None,
        }

    def _tell(self, results: Iterable[tuple[Mapping[str, Any], Any]]) -> None:
        for config, objective in results:
            if isinstance(objective, str):  # a failure is no member
                continue
            self._population.append(self._member(config, objective))
            if len(self._population) > self.population_size:
                expired = self._population.popleft()
                if self._on_expire is not None:
                    self._on_expire(expired.model_id)
