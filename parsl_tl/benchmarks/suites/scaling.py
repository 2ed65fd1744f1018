"""Weak scaling of a store's servers: more tasks at once, each with as much to do.

Every task does what evaluations do with the store, without training: it asks for the model with the
longest common prefix, reads the layers that both have, and stores the others.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Self

from parsl_tl.benchmarks.core.meeting import Participant
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.suite import Frames, Progress, Suite, Tables, in_steps, pivot, silent
from parsl_tl.benchmarks.core.task_runner import Where, reasons_in, task_runner
from parsl_tl.benchmarks.formats.bench_model import ModelFamily, width_of
from parsl_tl.benchmarks.suites.replay import (
    ReplayRow,
    model_id_of,
    operation_rows,
    replay_graphs,
    served,
    weights_of,
)
from parsl_tl.reporting.frame_plots import Plot

_DONOR: Final = 0  # number of the model that is stored before


class ScalingCase(NamedTuple):
    """What tasks do: the store, models of equal layers, how many each stores, the run's id."""

    store: str
    model_mb: float
    layers: int
    stored: int  # percent of the layers that the donor has
    models: int
    run: str

    def graph(self, number: int) -> Any:
        """Returns a model that shares its first layers with the donor."""
        width = width_of(self.model_mb, self.layers)
        family = ModelFamily(
            max_layer_size=4 * width * width,
            max_layers=self.layers,
            shared=min(self.stored / 100, 1 - 1 / self.layers),
        )
        return family.graph(_DONOR if self.stored == 100 else number)


@dataclass(frozen=True)
class ScalingSuite(Suite):
    """Numbers of tasks x shares of the layers that are stored."""

    name = "scaling"
    label = "scaling"
    text = "a store's servers with more and more tasks at once, each with as much to do"
    title = "Weak scaling"
    has_tasks = True
    description = (
        "Asks for the model with the longest common prefix, reads what both have, and stores the\n"
        "rest, from so many tasks at once; every task does as much, however many there are. At\n"
        "the end, what was stored is retired again."
    )
    examples = (
        "--tasks 1 2 4",
        "--tasks 4 16 64 256 --config polaris --store cluster:runs/a/cluster --out bench/weak",
    )

    tasks: tuple[int, ...] = option((1, 2, 4), "tasks at once; each number is measured", least=1)
    stored: tuple[int, ...] = option(
        (25, 50, 75, 100), "of the layers a stored model has", metavar="PERCENT", least=1, most=100
    )
    models: int = option(10, "models per task", least=1)
    model_mb: float = option(16.0, "per model", metavar="MB", above=0, most=1e6)
    layers: int = option(20, "layers with weights per model", least=2)
    store: str | None = option(
        None, "addresses of the store's servers (they are started here)", metavar="URI"
    )
    servers: int = option(1, "that are started without --store", least=1, most=64)
    where: Where = nested(Where(), "where it runs: without Parsl, on this machine")

    def check(self) -> Self:
        """Returns settings with numbers in order."""
        tasks, stored = (tuple(sorted({*numbers})) for numbers in (self.tasks, self.stored))
        return replace(self, tasks=tasks, stored=stored)

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``scaling``, of each operation, and ``scaling_rates``, of all of one kind."""
        tables: Tables = {"scaling": [], "scaling_rates": []}
        cases = itertools.product(self.stored, self.tasks)
        steps = [(f"{stored}% stored, {tasks} tasks", (stored, tasks)) for stored, tasks in cases]
        with (
            served(self.store, self.servers) as uri,
            task_runner(self.where, max(self.tasks)) as runner,
        ):
            for stored, tasks in in_steps(progress, steps):
                run, which = secrets.token_hex(8), {"stored": stored, "tasks": tasks}
                case = ScalingCase(uri, self.model_mb, self.layers, stored, self.models, run)
                with _donor_of(case):
                    at_once = (tasks, self.where.timeout)
                    results, seconds = runner.together(*at_once, store_models, case)
                found, reasons = reasons_in(results)
                rows = [row for own in found for row in own]
                tables["scaling"] += [{**which, **row._asdict()} for row in rows]
                kinds = operation_rows(rows, reasons, seconds)
                tables["scaling_rates"] += [{**which, **row} for row in kinds]
        return tables

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns models per second, and milliseconds of operations, by number of tasks."""
        rows = frames["scaling_rates"].query("count > 0")
        per_task = rows.per_sec / rows.tasks
        share = per_task / per_task.groupby([rows.stored, rows.operation]).transform("first")
        rates = rows.per_sec.map("{:,.1f}".format) + share.map(" / {:.2f}".format)
        times = rows.p50.mul(1e3).map("{:,.2f}".format) + rows.p99.mul(1e3).map(" / {:,.2f}".format)
        cell = rows.assign(rates=rates, times=times, stored=rows.stored.map("{}%".format))
        own = cell[cell.operation == "store"]
        title = "models/s of all tasks, and what each does beside each of the fewest"
        return [
            (title, pivot(own, "rates", "stored", "tasks")),
            ("milliseconds, p50 / p99", pivot(cell, "times", ["stored", "operation"], "tasks")),
        ]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns rates by number of tasks."""
        rows = frames["scaling_rates"].query("operation == 'store' and count > 0")
        table = rows.pivot(index="tasks", columns="stored", values="per_sec")
        table = table.rename(columns="{}% stored".format)
        return [Plot("scaling", "", table, "models/s, all tasks", "line", "xy", "tasks at once")]

    def failures(self, frames: Frames) -> list[str]:
        """Returns why tasks failed."""
        return sorted({*frames["scaling_rates"].failure} - {""})


@contextlib.contextmanager
def _donor_of(case: ScalingCase) -> Iterator[None]:
    from parsl_tl.store import open_store

    graph, model_id = case.graph(_DONOR), model_id_of(case.run, _DONOR)
    with open_store(case.store) as store:
        store.put(model_id, graph, weights_of(graph, set(), 0), quality=0.0)
        try:
            yield
        finally:
            store.retire(model_id)


def store_models(participant: Participant, case: ScalingCase) -> list[ReplayRow]:
    """Stores models one after the other; all tasks start together, and retire them at the end.

    Raises:
        StoreError: the store fails.
    """
    first = 1 + participant.number * case.models
    graphs = [(number, case.graph(number)) for number in range(first, first + case.models)]
    return replay_graphs(participant, case.store, case.run, 0, graphs)
