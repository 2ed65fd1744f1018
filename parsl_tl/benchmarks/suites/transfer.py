"""Transfer methods side by side: how long naming, transfer and storing take, and at which rate."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd

from parsl_tl.benchmarks.core.options import names_option, nested, option
from parsl_tl.benchmarks.core.redis_server import RedisServer, redis_missing
from parsl_tl.benchmarks.core.room import folder_kind, temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, task_runner
from parsl_tl.benchmarks.formats.transfer import REDIS, TransferPlace
from parsl_tl.benchmarks.suites.transfer_tasks import (
    Arrivals,
    ModelFamily,
    TransferCase,
    TransferRow,
    run_at_rate,
    run_transfers,
    store_donors,
)
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.reporting.tables import percentiles

METHODS: Final = ("store", "safetensors", "hdf5", REDIS)
_PACKAGES = {"safetensors": "safetensors", "hdf5": "h5py", REDIS: "redis"}
_STEPS = {"standardize_sec": "naming", "transfer_sec": "transfer", "store_sec": "storing"}
_TIMES = {**_STEPS, "copy_sec": "a copy", "first_use_sec": "first use"}


def missing_methods(settings: Any) -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    missing = {
        method: f"{package} is not installed: pip install {package}"
        for method, package in _PACKAGES.items()
        if importlib.util.find_spec(package) is None
    }
    reason = redis_missing() if settings.redis_url is None else None
    return missing if reason is None else {**missing, REDIS: f"{reason}, or give --redis-url"}


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
        steps, done = len(methods) * (1 + len(self.rates)), 0
        with task_runner(self.where, workers) as runner:
            for method in methods:
                with self._case(method, workers) as case:
                    progress(done / steps, f"{method}, {workers} workers")
                    timings, totals = self._measure_transfers(runner, case)
                    tables["timings"] += [row._asdict() for row in timings]
                    tables["methods"].append({"method": method, **totals})
                    for rate in self.rates:
                        done += 1
                        progress(done / steps, f"{method}, {rate:g} donors a second")
                        tables["rates"].append(self._measure_rate(runner, case, rate))
                    done += 1
        progress(1.0, "done")
        return tables

    @contextlib.contextmanager
    def _case(self, method: str, workers: int) -> Iterator[TransferCase]:
        """Makes a method's place, and removes it with all that is in it."""
        with contextlib.ExitStack() as stack:
            folder, url = stack.enter_context(temporary_folder(self.folder)), self.redis_url
            if method == REDIS and url is None:
                url = stack.enter_context(RedisServer()).url
            place = TransferPlace(folder, self.store, url)
            yield TransferCase(method, place, self.family, self.donors, workers)

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
        arrivals = [result for result in results if isinstance(result, Arrivals)]
        failures = [reason for own in arrivals for reason in own.failures]
        failures += [result for result in results if isinstance(result, str)]
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
