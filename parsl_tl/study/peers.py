"""Searches of other libraries in the same space: all from scratch, by the same recipe."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from parsl_tl.errors import InvalidValueError
from parsl_tl.federation.worker_count import num_workers_of
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.outcome import pack, unpack
from parsl_tl.spaces import SearchSpace
from parsl_tl.suggestions import did_you_mean
from parsl_tl.tasks import evaluation_app
from parsl_tl.training import run_base_trainer

if TYPE_CHECKING:
    import pandas as pd
    from parsl.dataflow.dflow import DataFlowKernel


class Peer(Protocol):
    """A search of another library: proposes one index per choice, and is told what came of it."""

    def ask(self) -> tuple[Any, list[int]] | None:
        """Returns what the library calls its next proposal, and the proposal; None for no more."""
        ...

    def tell(self, asked: Any, objective: float | None) -> None:
        """Tells what a proposal reached; higher is better, None is a failure."""
        ...


class _DeepHyperEvolution:
    def __init__(self, space: SearchSpace, seed: int, population: int, sample: int) -> None:
        with mpi_left_alone():
            from deephyper.hpo import RegularizedEvolution

        self._names = [choice.name for choice in space.choices()]
        self._folder = tempfile.TemporaryDirectory()
        self._search = RegularizedEvolution(
            space.problem(),
            random_state=seed,
            log_dir=self._folder.name,
            population_size=population,
            sample_size=min(sample, population - 1),
        )

    def ask(self) -> tuple[Any, list[int]]:
        (config,) = self._search.ask(1)
        return config, [int(config[name]) for name in self._names]

    def tell(self, asked: Any, objective: float | None) -> None:
        self._search.tell([(asked, "F_failed" if objective is None else objective)])


class _OptunaTPE:
    def __init__(self, space: SearchSpace, seed: int, population: int, sample: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._choices = space.choices()
        self._study = optuna.create_study(sampler=sampler, direction="maximize")

    def ask(self) -> tuple[Any, list[int]]:
        trial = self._study.ask()
        chosen = [
            trial.suggest_categorical(choice.name, list(range(len(choice.values))))
            for choice in self._choices
        ]
        return trial, [int(index) for index in chosen]

    def tell(self, asked: Any, objective: float | None) -> None:
        from optuna.trial import TrialState

        if objective is None:
            self._study.tell(asked, state=TrialState.FAIL)
        else:
            self._study.tell(asked, objective)


class _KerasTuner:
    oracle: str

    def __init__(self, space: SearchSpace, seed: int, population: int, sample: int) -> None:
        import keras_tuner

        self._names = [choice.name for choice in space.choices()]
        parameters = keras_tuner.HyperParameters()
        for choice in space.choices():
            parameters.Choice(choice.name, list(range(len(choice.values))))
        self._oracle = getattr(keras_tuner.oracles, self.oracle)(
            objective=keras_tuner.Objective("objective", "max"),
            max_trials=1_000_000,  # the budget ends a search
            hyperparameters=parameters,
            seed=seed,
            allow_new_entries=False,
        )
        self._folder = tempfile.TemporaryDirectory()
        self._oracle._set_project_dir(self._folder.name, "search")
        self._oracle.verbose = 0  # no table before each trial, and none after it
        self._asked = 0

    def ask(self) -> tuple[Any, list[int]] | None:
        self._asked += 1
        # It gives a tuner one trial at a time.
        trial = self._oracle.create_trial(f"tuner{self._asked}")
        if trial.status != "RUNNING":
            return None
        return trial, [int(trial.hyperparameters.values[name]) for name in self._names]

    def tell(self, asked: Any, objective: float | None) -> None:
        if objective is not None:
            self._oracle.update_trial(asked.trial_id, {"objective": objective})
        trial = self._oracle.get_trial(asked.trial_id)
        trial.status = "INVALID" if objective is None else "COMPLETED"
        self._oracle.end_trial(trial)


class _KerasTunerRandom(_KerasTuner):
    oracle = "RandomSearchOracle"


class _KerasTunerBayesian(_KerasTuner):
    oracle = "BayesianOptimizationOracle"


_MAKERS: Final[Mapping[str, tuple[Callable[..., Peer], str, str]]] = {
    "deephyper-evolution": (_DeepHyperEvolution, "deephyper", "deephyper"),
    "optuna-tpe": (_OptunaTPE, "optuna", "optuna"),
    "keras-tuner-random": (_KerasTunerRandom, "keras_tuner", "keras-tuner"),
    "keras-tuner-bayesian": (_KerasTunerBayesian, "keras_tuner", "keras-tuner"),
}
PEERS: Final = tuple(_MAKERS)
"""The searches that a study can be compared with."""


def check_peers(names: Iterable[str]) -> None:
    """Refuses peers that there are not.

    Raises:
        InvalidValueError: an unknown name, or a library that is not installed.
    """
    for name in names:
        if name not in _MAKERS:
            raise InvalidValueError(
                f"{name!r} is no peer{did_you_mean(name, PEERS)}; choose from {', '.join(PEERS)}"
            )
        _, module, package = _MAKERS[name]
        if importlib.util.find_spec(module) is None:
            raise InvalidValueError(f"peer {name} needs {package}: pip install {package}")


def make_peer(name: str, space: SearchSpace, seed: int, population: int, sample: int) -> Peer:
    """Makes a peer's search.

    Args:
        name: one of ``PEERS``.
        space: what it searches.
        seed: of its proposals.
        population: size of an evolution's population; other searches have none.
        sample: size of its tournaments.

    Raises:
        InvalidValueError: see ``check_peers``.
    """
    check_peers([name])
    return _MAKERS[name][0](space, seed, population, sample)


@dataclass(frozen=True)
class Budget:
    """When a search ends: it has had so many evaluations, and spent so much.

    Attributes:
        evaluations: that it has at least.
        seconds: processor seconds that it spends, of all evaluations together.
        most: evaluations that it has at most, whatever they cost.
    """

    evaluations: int
    seconds: float
    most: int

    def allows(self, evaluations: int, seconds: float) -> bool:
        """Whether another evaluation may start, after so many and so much."""
        wants = evaluations < self.evaluations or seconds < self.seconds
        return wants and evaluations < self.most


def run_peer(
    peer: Peer, shared: Mapping[str, Any], budget: Budget, kernel: DataFlowKernel
) -> pd.DataFrame:
    """Searches with a peer, on all workers of a kernel.

    Args:
        peer: makes the proposals.
        shared: what all evaluations share; see ``shared_parameters``.
        budget: when it ends.
        kernel: a Parsl kernel.

    Returns:
        A row for each evaluation in the order in which they ended: ``evaluation``, ``objective``
        (NaN for a failure), ``seconds_cpu``, ``arch_seq``.
    """
    import pandas as pd

    app, workers = evaluation_app(kernel=kernel), num_workers_of(kernel)
    running: dict[Future[bytes], tuple[Any, list[int]]] = {}
    rows: list[dict[str, Any]] = []
    spent, exhausted = 0.0, False
    while True:
        while len(running) < workers and not exhausted:
            if not budget.allows(len(rows) + len(running), spent):
                break
            proposal = peer.ask()
            if proposal is None:
                exhausted = True
                break
            call = (run_base_trainer, ({"arch_seq": proposal[1]},), dict(shared))
            running[app(pack(call))] = proposal
        if not running:
            columns = ["evaluation", "objective", "seconds_cpu", "arch_seq"]
            return pd.DataFrame(rows, columns=columns)
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            asked, arch_seq = running.pop(future)
            outcome = unpack(future.result())
            objective = outcome["objective"]
            failed = not isinstance(objective, float) or math.isnan(objective)
            peer.tell(asked, None if failed else objective)
            seconds = float(outcome["metadata"].get("seconds_cpu") or 0.0)
            spent += seconds
            row = {"evaluation": len(rows) + 1, "objective": math.nan if failed else objective}
            rows.append({**row, "seconds_cpu": seconds, "arch_seq": arch_seq})
