"""What the tasks of the evaluation benchmark do: the same network trained in every mode, in turns.

Steps are the spans that a trainer records, so that what is measured is what a worker of a search
does.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph, longest_common_prefix
from parsl_tl.errors import BenchmarkError, ImpossibleArchitectureError
from parsl_tl.events import Slices, span
from parsl_tl.events.spans import recorded_by
from parsl_tl.problems import Problem, get_problem
from parsl_tl.spaces import SearchSpace, get_space
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.training.compiling import compile_plainly
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.datasets import fed_arrays
from parsl_tl.training.epoch_slices import epoch_slices
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.runtime import configure_threads, release_memory, seed_everything
from parsl_tl.training.transfer_trainer import TransferTrainer
from parsl_tl.transfer.store import StoreTransfer

KERAS: Final = "keras"
# What a mode asks of a training; the first is Keras' own ``fit``.
MODES: Final[Mapping[str, Mapping[str, Any]]] = {
    KERAS: {},
    "scratch": {"from_scratch": True},
    "frozen": {"cut_prefix": "off"},
    "cut": {"cut_prefix": "always"},
}
STEPS: Final = (
    *("load", "graph", "build", "query", "transfer", "prefix", "compile"),
    *("trace", "train", "validate", "store", "release", "rest"),
)
"""Where time goes: ``graph`` is from choices to names of layers, ``build`` from there to a Keras
model; ``query`` finds the donor, and ``transfer`` reads and sets weights; ``compile`` is what
surrounds epochs; ``trace`` is what the first epoch takes longer than the others, the median of
which, for each epoch, is in ``train`` and ``validate``."""
OURS: Final = ("graph", "query", "transfer", "store", "rest")
"""Steps that a training with Keras alone does not have; ``prefix`` stands for a part of these."""

Seconds = NDArray[np.float64]  # by the clock, and of processors
_NOTHING: Final = np.zeros(2)
_DONOR: Final = 1
_ATTEMPTS: Final = 50
_TRIES_PER_CHOICE: Final = 3


@dataclass(frozen=True)
class EvaluationCase:
    """A problem, a space, and how much of a network comes over."""

    problem: str
    space: str
    share: float  # of the layers, those without weights included
    rows: int | None = None  # for training at most
    problem_args: Mapping[str, Any] = field(default_factory=dict)
    space_args: Mapping[str, Any] = field(default_factory=dict)


class Stopwatch:
    """Sums seconds by step; one step runs at a time. As a recording, it takes spans for steps."""

    context, stages = b"", None

    def __init__(self) -> None:
        self._spent: dict[Any, Seconds] = {}
        self._step: Any = "rest"
        self._epoch: Any = 0
        self._since = _now()

    def switch(self, step: Any) -> Any:
        """Ends the present step and begins another one; returns the one that it ended."""
        now, before = _now(), self._step
        self._spent[before] = self._spent.get(before, _NOTHING) + now - self._since
        self._step, self._since = step, now
        return before

    @contextmanager
    def step(self, step: Any) -> Iterator[Stopwatch]:
        """Takes the block out of the step around it."""
        before = self.switch(step)
        try:
            yield self
        finally:
            self.switch(before)

    def span(self, name: str, attributes: Mapping[str, Any], **more: Any) -> Any:
        """Takes what a trainer does for a step, epochs one by one, and the rest of it for none."""
        self._epoch = attributes.get("epoch", self._epoch)
        steps: dict[str, Any] = {**dict(zip(STEPS, STEPS, strict=True)), "train": "compile"}
        steps |= {"epoch": ("train", self._epoch), "validate": ("validate", self._epoch)}
        return self.step(steps.get(name, self._step))

    def annotate(self, *attributes: Any, **more: Any) -> None:
        """Takes what else is said of spans, and keeps none of it."""

    flush = close = ends_at = annotate

    def spent(self) -> dict[str, Seconds]:
        """Ends the present step, and returns the seconds of all ``STEPS``."""
        self.switch("rest")
        found = {step: self._spent.get(step, _NOTHING) for step in STEPS}
        for kind in ("train", "validate"):
            epochs = np.array([spent for step, spent in self._spent.items() if step[0] == kind])
            if not len(epochs):
                continue
            usual = np.median(epochs[1:], axis=0) if len(epochs) > 1 else _NOTHING
            first = np.maximum(0.0, epochs[0] - usual)
            found["trace"] = found["trace"] + first
            found[kind] = epochs.sum(axis=0) - first
        return found


def _now() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


class _Store(StoreTransfer):
    """Tells the query from what follows it."""

    def _find_donor(self, *args: Any) -> Any:
        with span("query"):
            return super()._find_donor(*args)


def measure_case(
    case: EvaluationCase,
    backend: str,
    modes: tuple[str, ...],
    repeats: int,
    training: Mapping[str, Any],
    seed: int,
    threads: int | None,
    folder: Path,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Trains networks of a case in each of the modes; each repeat has other ones.

    Returns:
        What the process needs before: ``start_...`` for Keras and its backend, ``load_...`` for
        the data; and a row for each training.
    """
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as workers of a search have it
    watch = Stopwatch()
    with watch.step("build"):
        configure_threads(threads)
        import keras  # noqa: F401
    with watch.step("load"):
        problem = _with_rows(get_problem(case.problem, **case.problem_args), case.rows)
    begun = watch.spent()
    known = {"problem": case.problem, "space": case.space, "backend": backend}
    starts = {**known, **_columns("start", begun["build"]), **_columns("load", begun["load"])}
    space, rows = get_space(case.space, **case.space_args), []
    for repeat in range(repeats):
        config = TrainingConfig.for_problem(problem, seed=seed + repeat, **training)
        donor, child = _relatives(space, problem, case.share, np.random.default_rng([seed, repeat]))
        store = _Store(f"embedded:{folder / f'{backend}-{repeat}'}")
        # Its time counts for nothing: what is loaded and made once is there afterwards.
        recipe = replace(config, epochs=min(2, config.epochs), model_id=_DONOR)
        TransferTrainer(recipe, _graph(space, problem, donor), store).run()
        for number in range(len(modes)):
            # In another order each time, so that none is always the first.
            mode = modes[(number + repeat) % len(modes)]
            # A retired model's id is never used again.
            one = replace(config, model_id=_DONOR + 1 + number)
            row = _measure(mode, one, space, child, store)
            rows.append({**known, "repeat": repeat, "mode": mode, **row})
        store.close()
    return starts, rows


def _measure(
    mode: str, config: TrainingConfig, space: SearchSpace, child: list[int], store: _Store
) -> dict[str, Any]:
    watch = Stopwatch()
    with watch.step("graph"):
        graph = _graph(space, config.problem, child)
    with recorded_by(watch):
        if mode == KERAS:
            report = TrainingReport(objective=_fit_plainly(config, graph, watch))
        else:
            report = TransferTrainer(replace(config, **MODES[mode]), graph, store).run()
            report.metadata()
    with watch.step("release"):
        release_memory()
    spent = watch.spent()
    if mode != KERAS:
        store.retire(config.model_id or 0)
    return {
        "objective": report.objective,
        "layers": len(graph),
        "layers_matched": report.layers_matched,
        "frontier_bytes": report.frontier_bytes,
        **_columns("total", sum(spent.values(), _NOTHING)),
        **{name: value for step in STEPS for name, value in _columns(step, spent[step]).items()},
    }


def _columns(step: str, spent: Seconds) -> dict[str, float]:
    return {f"{step}_sec": float(spent[0]), f"{step}_cpu_sec": float(spent[1])}


def _fit_plainly(config: TrainingConfig, graph: ArchitectureGraph, watch: Stopwatch) -> float:
    """Trains by ``keras.Model.fit`` on arrays; returns the best objective."""
    problem = config.problem
    with watch.step("build"):
        seed_everything(config.seed)
        model = graph.to_keras()
    data = problem.load()
    with watch.step("compile"):
        compile_plainly(model, config)
        x, y = fed_arrays(model, problem, data, "train")
        history = model.fit(
            x,
            y,
            batch_size=config.batch_size,
            epochs=config.epochs,
            validation_data=fed_arrays(model, problem, data, "valid"),
            verbose=0,
            callbacks=[epoch_slices(Slices(time.time_ns()))],
        ).history
    epochs = [
        dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)
    ]
    return max(map(config.score, epochs))


def _with_rows(problem: Problem, rows: int | None) -> Problem:
    """Returns a problem of the first rows, and as large a share of those to judge by."""
    data = problem.load()
    if rows is None or rows >= len(data.y_train):
        return problem
    judging = max(1, round(rows * len(data.y_valid) / len(data.y_train)))
    fewer = copy.copy(problem)
    fewer._data = replace(
        data,
        x_train=data.x_train[:rows],
        y_train=data.y_train[:rows],
        x_valid=data.x_valid[:judging],
        y_valid=data.y_valid[:judging],
    )
    return fewer


def _graph(space: SearchSpace, problem: Problem, sequence: list[int]) -> ArchitectureGraph:
    return space.build(sequence, problem.input_shape, problem.output_heads())


def _relatives(
    space: SearchSpace, problem: Problem, share: float, random: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Draws an architecture, and one that differs in one choice and shares about so much with it.

    Raises:
        BenchmarkError: no architecture was found that exists.
    """
    sizes = [len(choice.values) for choice in space.choices()]
    for _ in range(_ATTEMPTS):
        donor = random_arch_seq(space, random)
        found: list[tuple[float, list[int]]] = []
        try:
            graph = _graph(space, problem, donor)
        except ImpossibleArchitectureError:
            continue
        for place, size in enumerate(sizes):
            for value in random.permutation(size)[:_TRIES_PER_CHOICE].tolist():
                child = [*donor[:place], value, *donor[place + 1 :]]
                try:
                    other = _graph(space, problem, child)
                except ImpossibleArchitectureError:
                    continue
                shared = len(longest_common_prefix(other, graph))
                if shared < len(other):
                    found.append((abs(shared / len(other) - share), child))
        if found:
            return donor, min(found)[1]
    raise BenchmarkError(
        f"of {_ATTEMPTS} random architectures of space {space.name!r}, none has a relative that "
        f"problem {problem.name!r} takes; choose another problem"
    )
