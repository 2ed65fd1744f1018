"""Transfer methods side by side: how long naming, transfer and storing take, and at which rate.

Tasks do what evaluations do, without training.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pandas as pd

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core.meeting import Participant
from parsl_tl.benchmarks.core.options import missing_packages, names_option, nested, option
from parsl_tl.benchmarks.core.room import folder_kind, temporary_folder
from parsl_tl.benchmarks.core.servers import redis_missing
from parsl_tl.benchmarks.core.suite import (
    Frames,
    Progress,
    Row,
    Suite,
    Tables,
    in_steps,
    silent,
)
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, reasons_in, task_runner
from parsl_tl.benchmarks.formats.bench_model import ModelFamily
from parsl_tl.benchmarks.formats.transfer import REDIS, TransferPlace, make_method, place_of
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.reporting.tables import percentiles
from parsl_tl.task_process import reason_of

METHODS: Final = ("store", "safetensors", "hdf5", REDIS)
_PACKAGES: Final = {"safetensors": "safetensors", "hdf5": "h5py", REDIS: "redis"}
_STEPS: Final = {"standardize_sec": "naming", "transfer_sec": "transfer", "store_sec": "storing"}
_TIMES: Final = {**_STEPS, "copy_sec": "a copy", "first_use_sec": "first use"}
# Ids of the models that tasks make begin here; those below are the donors'.
_FIRST_CHILD = 1 << 32


def missing_methods(settings: Any) -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    missing = missing_packages(_PACKAGES)
    reason = redis_missing() if settings.redis_url is None else None
    return missing if reason is None else {**missing, REDIS: f"{reason}, or give --redis-url"}


class TransferCase(NamedTuple):
    """A method, where it keeps models, which, how many are there before, and tasks at once."""

    method: str
    place: TransferPlace
    family: ModelFamily
    donors: int
    workers: int


class TransferRow(NamedTuple):
    """One model's way through a method.

    ``first_use_sec`` is what computing with the transferred weights takes longer for the first time
    than for the second: memory that is mapped may have to be found then. ``copy_sec`` is what Keras
    takes to copy the same weights in once more: the part of ``transfer_sec`` that is not the
    method's, unless its memory is used in place.
    """

    method: str  # name of the transfer method
    models: str  # kind of the models
    worker: int  # which task
    iteration: int  # of the task
    standardize_sec: float | None = None  # to read the Keras model's graph and name its layers
    transfer_sec: float | None = None  # to find the donor and set the weights
    store_sec: float | None = None  # to store what is new
    first_use_sec: float | None = None
    copy_sec: float | None = None
    layers: int = 0  # layers of the model
    layers_transferred: int = 0  # layers that came over
    bytes_transferred: int = 0  # of their weights
    bytes_stored: int = 0  # written for the model's weights, as the method says
    failure: str = ""  # why there is no more to tell; empty if all went well


def store_donors(case: TransferCase) -> None:
    """Stores the models that are there before anything is measured."""
    from parsl_tl.transfer.weights import layers_with_weights

    method = make_method(case.method, case.place)
    for number in range(1, case.donors + 1):
        graph = case.family.graph(number)
        model = graph.to_keras()
        # As in a search: only the first one is stored whole.
        had = method.transfer(model, graph, model_id=number, parent=1)
        trained = [n for n in layers_with_weights(model, graph) if n not in had.layer_names]
        method.store(model, graph, trained, model_id=number, quality=0.5, transferred=had)
    method.close()


@dataclass(frozen=True)
class TransferSuite(Suite):
    """Transfer methods, each with models one after the other, and then at every rate."""

    name = "transfer"
    label = "transfer"
    text = "every transfer method, with the same models, from many workers"
    title = "Transfer methods"
    small = ("--n-iter", "5", "--rates", "10", "50", "--rate-seconds", "2")
    has_tasks = True

    transfer: tuple[str, ...] | None = names_option(
        METHODS, missing_methods, "methods, of {} (all that are installed)"
    )
    n_iter: int = option(10, "models per worker", least=1)
    tasks: int | None = option(
        None, "workers at once, of all nodes together (those of one node)", least=1
    )
    donors: int = option(5, "models that are there before", least=1)
    rates: tuple[float, ...] = option(
        (2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        "transfers per second, of all workers together",
        above=0,
        may_be_empty=True,
    )
    rate_seconds: float = option(5.0, "for each rate", metavar="SECONDS", above=0)
    folder: Path | None = option(None, "for files and the store (the system's temporary one)")
    store: str | None = option(
        None, "addresses of a store's servers (a store in the folder)", metavar="URI"
    )
    redis_url: str | None = option(None, "of a Redis server (one is started here)", metavar="URL")
    family: ModelFamily = nested(ModelFamily(), "models")
    where: Where = nested(Where(workers=2), "where it runs: without Parsl, so many tasks at once")

    def check(self) -> Self:
        """Refuses models that cannot be, and a folder that is not there."""
        self.family.check()
        if self.folder is not None:
            folder_kind(self.folder)
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``timings``, of each model; ``methods``, with what they keep; and ``rates``."""
        tables: Tables = {"timings": [], "methods": [], "rates": []}
        methods, workers = self.transfer or (), self.tasks or self.where.workers or 1
        steps = [
            (
                f"{one}, {rate:g} donors a second" if rate else f"{one}, {workers} workers",
                (one, rate),
            )
            for one in methods
            for rate in (0.0, *self.rates)
        ]
        with task_runner(self.where, workers) as runner:
            taken = in_steps(progress, steps)
            for method, own in itertools.groupby(taken, lambda step: step[0]):
                with (
                    temporary_folder(self.folder) as folder,
                    place_of(method, folder, self.store, self.redis_url) as place,
                ):
                    case = TransferCase(method, place, self.family, self.donors, workers)
                    for _, rate in own:
                        if rate:
                            tables["rates"].append(self._measure_rate(runner, case, rate))
                            continue
                        timings, totals = self._measure_transfers(runner, case)
                        tables["timings"] += [row._asdict() for row in timings]
                        tables["methods"].append({"method": method, **totals})
        return tables

    def _measure_transfers(
        self, runner: TaskRunner, case: TransferCase
    ) -> tuple[list[TransferRow], Row]:
        nothing = TransferRow(case.method, case.family.kind, 0, 0)
        try:
            runner.submit(store_donors, case).result()
        except BenchmarkError as error:
            failed = [nothing._replace(failure=str(error))]
            return failed, {"models_per_sec": None, "kept_bytes": None}
        at_once = (case.workers, self.where.timeout)
        results, seconds = runner.together(*at_once, run_transfers, case, self.n_iter)
        rows: list[TransferRow] = []
        for worker, result in enumerate(results):
            is_reason = isinstance(result, str)
            rows += [nothing._replace(worker=worker, failure=result)] if is_reason else result
        count, kept = sum(not row.failure for row in rows), _kept_bytes(case)
        # Every worker made one more model before the start.
        kept = kept and kept / (case.donors + count + case.workers)
        return rows, {"models_per_sec": count / seconds if seconds else None, "kept_bytes": kept}

    def _measure_rate(self, runner: TaskRunner, case: TransferCase, rate: float) -> Row:
        at_once = (case.workers, self.where.timeout)
        results, _ = runner.together(*at_once, run_at_rate, case, rate, self.rate_seconds)
        arrivals, failures = reasons_in(results)
        failures = [*(reason for own in arrivals for reason in own.failures), *failures]
        latencies = [value for own in arrivals for value in own.latencies]
        seconds = max((own.seconds for own in arrivals), default=0.0)
        found = percentiles(latencies) if latencies else {}
        row: Row = {"method": case.method, "models": case.family.kind, "workers": case.workers}
        row |= {"asked_per_sec": rate, "done_per_sec": len(latencies) / seconds if seconds else 0.0}
        row |= {f"{name}_sec": found.get(name) for name in ("p50", "p99")}
        return {**row, "failed": len(failures), "failure": failures[0] if failures else ""}

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns titles and tables."""
        table = _by_method(frames)
        times = ["naming", "transfer", "transfer p99", "a copy", "first use", "storing"]
        counts = ["models", "failed", "models/s", "MB over", "MB stored", "MB kept"]
        tables: list[tuple[str, Any]] = [
            ("Milliseconds per model, median", table[[*times, "storing p99"]]),
            ("Models, and MB of each", table[counts]),
            ("How many times faster the store is, and its share of the bytes", _of_store(table)),
        ]
        if "rates" in frames:
            names = {"method": "method", "asked_per_sec": "asked/s", "done_per_sec": "done/s"}
            names |= {"p50_sec": "p50, ms", "p99_sec": "p99, ms", "failed": "failed"}
            shown = frames["rates"][list(names)].rename(columns=names)
            shown[["p50, ms", "p99, ms"]] = shown[["p50, ms", "p99, ms"]].astype(float) * 1e3
            tables.append(("At fixed rates", shown))
        return tables

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns the steps of each method, and where each stops keeping up."""
        steps = _by_method(frames)[list(_STEPS.values())]
        found = [Plot("transfer_steps", "", steps, "milliseconds per model, median", log="y")]
        if "rates" in frames:
            asked = frames["rates"].pivot(
                index="asked_per_sec", columns="method", values="done_per_sec"
            )
            asked["all"] = asked.index
            done, due = "transfers done per second", "transfers asked for per second"
            found.append(Plot("transfer_rates", "", asked, done, "line", "xy", due))
        return found

    def failures(self, frames: Frames) -> list[str]:
        """Returns why models failed."""
        return list({*frames["timings"].failure} - {""})


def _kept_bytes(case: TransferCase) -> float | None:
    """Returns the bytes that a method keeps, as the disk or the server counts them."""
    place = case.place
    if case.method == REDIS:
        import redis

        with redis.Redis.from_url(str(place.redis_url)) as client:
            return float(client.info("memory")["used_memory"])
    if case.method == "store" and place.store_uri is not None:
        return None
    found = [path.stat() for path in place.folder.rglob("*") if path.is_file()]
    # A hard link takes nothing.
    return float(sum({status.st_ino: status.st_blocks * 512 for status in found}.values()))


def _by_method(frames: Frames) -> Any:
    """Returns milliseconds (median and 99th percentile), rates and bytes of each method."""
    rows = frames["timings"]
    good = rows[rows.failure == ""]
    table = pd.DataFrame({"models": good.groupby("method").size()}, rows.method.unique())
    table = table.rename_axis("method").fillna({"models": 0})
    table["failed"] = rows.groupby("method").size() - table.models
    times = good.astype(dict.fromkeys(_TIMES, float)).groupby("method")[list(_TIMES)]
    for suffix, share in (("", 0.5), (" p99", 0.99)):
        table = table.join(times.quantile(share).mul(1e3).rename(columns=_TIMES).add_suffix(suffix))
    for title, column in (("MB over", "bytes_transferred"), ("MB stored", "bytes_stored")):
        table[title] = good.groupby("method")[column].mean() / 1e6
    methods = frames["methods"].set_index("method").astype(float)
    table["models/s"], table["MB kept"] = methods.models_per_sec, methods.kept_bytes / 1e6
    return table


def _of_store(table: Any) -> Any:
    """Returns how many times the store is faster and smaller; empty if nothing can be told."""
    others = table[(table.models > 0) & (table.index != "store")]
    if "store" not in table.index or not table.models["store"]:
        return others[:0]
    store = table.loc["store"]
    found = others[["transfer", "storing"]] / store[["transfer", "storing"]]
    found["both"] = (others.transfer + others.storing) / (store.transfer + store.storing)
    found["bytes stored"] = store["MB stored"] / others["MB stored"]
    return found.rename_axis("the store beside")


def run_transfers(
    participant: Participant, case: TransferCase, iterations: int
) -> list[TransferRow]:
    """Lets models take over and be stored, one after the other; all tasks start together."""
    worker = participant.number
    _one_transfer(case, worker, iterations)  # libraries are loaded, connections open
    participant.wait()
    rows = [_one_transfer(case, worker, iteration) for iteration in range(iterations)]
    participant.done()
    return rows


def _one_transfer(case: TransferCase, worker: int, iteration: int) -> TransferRow:
    from parsl_tl.transfer.weights import layers_with_weights, read_weights

    row = TransferRow(case.method, case.family.kind, worker, iteration)
    # Every model is new, whoever makes it.
    number = case.donors + 1 + worker + iteration * case.workers
    known: dict[str, Any] = {"model_id": _FIRST_CHILD + number}
    model = case.family.graph(number).to_keras()
    method = make_method(case.method, case.place)
    try:
        start = time.perf_counter()
        graph = ArchitectureGraph.from_keras(model)
        row = row._replace(layers=len(graph.layer_names))
        named = time.perf_counter()
        transferred = method.transfer(model, graph, parent=1, **known)
        had = time.perf_counter()
        taken = [model.get_layer(name) for name in transferred.layer_names]
        first_use = _seconds_of_use(taken) - _seconds_of_use(taken)
        trained = [n for n in layers_with_weights(model, graph) if n not in transferred.layer_names]
        again = read_weights(dict(zip(transferred.layer_names, taken, strict=True)))
        copying = time.perf_counter()
        for layer, arrays in zip(taken, again.values(), strict=True):
            layer.set_weights(arrays)
        since = time.perf_counter()
        stored = method.store(model, graph, trained, quality=0.1, transferred=transferred, **known)
        end = time.perf_counter()
    except Exception as error:  # whatever a file system or server may do
        return row._replace(failure=reason_of(error))
    return row._replace(
        standardize_sec=named - start,
        transfer_sec=had - named,
        store_sec=end - since,
        first_use_sec=max(0.0, first_use),
        copy_sec=since - copying,
        layers_transferred=len(transferred.layer_names),
        bytes_transferred=transferred.num_bytes,
        bytes_stored=stored.num_bytes,
    )


def _seconds_of_use(layers: Sequence[Any]) -> float:
    """Reads every weight once, as a forward pass does."""
    import keras

    start = time.perf_counter()
    for layer in layers:
        for weight in layer.weights:
            float(keras.ops.sum(weight))
    return time.perf_counter() - start


class Arrivals(NamedTuple):
    """What one task saw of transfers that were due at fixed times."""

    latencies: list[float]  # from when each was due until it was done, in seconds
    failures: list[str]  # why others failed
    seconds: float  # from the start to the end of the last


def run_at_rate(
    participant: Participant, case: TransferCase, rate: float, seconds: float
) -> Arrivals:
    """Transfers at fixed times, whether the one before is done or not.

    All tasks together transfer at a rate (1/s), and take turns; transfers are due for some seconds.
    """
    worker = participant.number
    model_id, graph = 2 * _FIRST_CHILD + worker, case.family.graph(case.donors + 1 + worker)
    model, method = graph.to_keras(), make_method(case.method, case.place)
    found = Arrivals([], [], 0.0)
    participant.wait()
    start = time.perf_counter()
    for turn in range(worker, max(case.workers, round(rate * seconds)), case.workers):
        due = start + turn / rate
        # One that is hopelessly late tells nothing new.
        if time.perf_counter() - start > 2 * seconds:
            break
        time.sleep(max(0.0, due - time.perf_counter()))
        try:
            method.transfer(model, graph, model_id=model_id, parent=1)
            found.latencies.append(time.perf_counter() - due)
        except Exception as error:  # see above
            found.failures.append(reason_of(error))
    found = found._replace(seconds=time.perf_counter() - start)
    participant.done()
    return found
