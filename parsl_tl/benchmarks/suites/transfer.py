"""Transfer methods side by side: how long naming, transfer and storing take, and at which rate."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.redis_server import RedisServer, redis_missing
from parsl_tl.benchmarks.core.room import folder_kind, temporary_folder
from parsl_tl.benchmarks.core.start_barrier import StartBarrier
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, task_runner
from parsl_tl.benchmarks.formats.transfer import REDIS, TransferPlace
from parsl_tl.benchmarks.suites.transfer_models import ModelFamily
from parsl_tl.benchmarks.suites.transfer_tasks import (
    Arrivals,
    TransferCase,
    TransferRow,
    run_at_rate,
    run_transfers,
    store_donors,
)
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.reporting.tables import percentiles
from parsl_tl.task_process import reason_of

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
class TransferSettings:
    """What is measured."""

    transfer: tuple[str, ...] | None = option(
        None,
        f"methods, of {', '.join(METHODS)} (all that are installed)",
        choices=METHODS,
        missing=missing_methods,
    )
    n_iter: int = option(10, "models per worker", least=1)
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

    @property
    def workers(self) -> int:
        """Tasks at once."""
        return self.where.workers or 1


def check(settings: TransferSettings) -> TransferSettings:
    """Returns the settings, if they can be measured.

    Raises:
        BenchmarkError: the folder is missing.
    """
    settings.family.check()
    if settings.folder is not None:
        folder_kind(settings.folder)
    return settings


def measure(settings: TransferSettings, progress: Progress = silent) -> Tables:
    """Measures every method, one after the other.

    Returns:
        ``timings``, a row per model: see ``TransferRow``. ``methods``: ``method``,
        ``models_per_sec`` of all workers together, and ``kept_bytes`` on disk (or in the Redis
        server) per model, donors included; None where that cannot be seen from here. ``rates``:
        ``method``, ``models`` (their kind), ``workers``, ``asked_per_sec`` (transfers that were
        due), ``done_per_sec``, ``p50_sec`` and ``p99_sec`` (from when one was due until it was
        done), ``failed``, and ``failure``, why the first one did.

    Raises:
        BenchmarkError: tasks cannot run where they should.
    """
    tables: Tables = {"timings": [], "methods": [], "rates": []}
    methods = settings.transfer or ()
    steps, done = len(methods) * (1 + len(settings.rates)), 0
    with task_runner(settings.where, settings.workers) as runner:
        for method in methods:
            with _case(settings, method) as case:
                progress(done / steps, f"{method}, {settings.workers} workers")
                timings, totals = _measure_transfers(settings, runner, case)
                tables["timings"] += [row._asdict() for row in timings]
                tables["methods"].append({"method": method, **totals})
                done += 1
                for rate in settings.rates:
                    progress(done / steps, f"{method}, {rate:g} donors a second")
                    tables["rates"].append(_measure_rate(settings, runner, case, rate))
                    done += 1
    progress(1.0, "done")
    return tables


@contextlib.contextmanager
def _case(settings: TransferSettings, method: str) -> Iterator[TransferCase]:
    """Makes a method's place, and removes it with all that is in it."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder(settings.folder))
        url = settings.redis_url
        if method == REDIS and url is None:
            url = stack.enter_context(RedisServer()).url
        place = TransferPlace(folder, settings.store, url)
        yield TransferCase(method, place, settings.family, settings.donors, settings.workers)


def _measure_transfers(
    settings: TransferSettings, runner: TaskRunner, case: TransferCase
) -> tuple[list[TransferRow], Row]:
    nothing = TransferRow(case.method, case.family.kind, 0, 0)
    try:
        runner.submit(store_donors, case).result()
    except BenchmarkError as error:
        return [nothing._replace(failure=str(error))], {"models_per_sec": None, "kept_bytes": None}
    results, seconds = _together(settings, runner, run_transfers, case, settings.n_iter)
    rows: list[TransferRow] = []
    for worker, result in enumerate(results):
        if isinstance(result, BaseException):
            rows.append(nothing._replace(worker=worker, failure=reason_of(result)))
        else:
            rows += result
    count = sum(not row.failure for row in rows)
    kept = _kept_bytes(case)
    # Every worker made one more model before the start.
    kept = kept and kept / (case.donors + count + case.workers)
    return rows, {"models_per_sec": count / seconds if seconds else None, "kept_bytes": kept}


def _measure_rate(
    settings: TransferSettings, runner: TaskRunner, case: TransferCase, rate: float
) -> Row:
    results, _ = _together(settings, runner, run_at_rate, case, rate, settings.rate_seconds)
    arrivals = [result for result in results if isinstance(result, Arrivals)]
    errors = [reason_of(result) for result in results if isinstance(result, BaseException)]
    latencies = [value for own in arrivals for value in own.latencies]
    seconds = max((own.seconds for own in arrivals), default=0.0)
    reasons = [own.failure for own in arrivals if own.failure] + errors
    found = percentiles(latencies) if latencies else {}
    return {
        "method": case.method,
        "models": case.family.kind,
        "workers": case.workers,
        "asked_per_sec": rate,
        "done_per_sec": len(latencies) / seconds if seconds else 0.0,
        "p50_sec": found.get("p50"),
        "p99_sec": found.get("p99"),
        "failed": sum(own.failures for own in arrivals) + len(errors),
        "failure": reasons[0] if reasons else "",
    }


def _together(
    settings: TransferSettings, runner: TaskRunner, function: Callable[..., Any], *arguments: Any
) -> tuple[list[Any], float | None]:
    """Runs one task per worker at the same time; gives results or errors, and the seconds.

    The function takes the arguments, the number of the task, and the address of the start.
    """
    with StartBarrier(settings.workers, runner.addresses, settings.where.timeout) as barrier:
        futures: list[Future[Any]] = []
        for worker in range(settings.workers):
            future = runner.submit(function, *arguments, worker, barrier.address)
            future.add_done_callback(lambda _, worker=worker: barrier.leave(worker))  # type: ignore[misc]
            futures.append(future)
        results = [future.exception() or future.result() for future in futures]
    return results, barrier.seconds


def _kept_bytes(case: TransferCase) -> float | None:
    """Returns the bytes that a method keeps, as the disk or the server counts them."""
    place = case.place
    if case.method == REDIS:
        import redis

        with redis.Redis.from_url(str(place.redis_url)) as client:
            return float(client.info("memory")["used_memory"])
    if case.method == "store" and place.store_uri is not None:
        return None
    files = {}
    for path in place.folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            files[status.st_ino] = status.st_blocks * 512  # a hard link takes nothing
    return float(sum(files.values()))


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


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns titles and tables."""
    table = _by_method(frames)
    times = ["naming", "transfer", "transfer p99", "a copy", "first use", "storing", "storing p99"]
    counts = ["models", "failed", "models/s", "MB over", "MB stored", "MB kept"]
    tables: list[tuple[str, Any]] = [
        ("Milliseconds per model, median", table[times]),
        ("Models, and MB of each", table[counts]),
        ("How many times faster the store is, and its share of the bytes", against_store(table)),
    ]
    if "rates" in frames:
        rates = frames["rates"]
        milliseconds = rates[["p50_sec", "p99_sec"]].astype(float) * 1e3
        shown = rates[["method", "asked_per_sec", "done_per_sec"]].assign(
            **{"p50, ms": milliseconds.p50_sec, "p99, ms": milliseconds.p99_sec},
            failed=rates.failed,
        )
        names = {"asked_per_sec": "asked/s", "done_per_sec": "done/s"}
        tables.append(("At fixed rates", shown.rename(columns=names)))
    return tables


def against_store(table: Any) -> Any:
    """Returns how many times the store is faster and smaller; empty if nothing can be told."""
    others = table[(table.models > 0) & (table.index != "store")]
    if "store" not in table.index or not table.models["store"]:
        return others[:0]
    store = table.loc["store"]
    found = others[["transfer", "storing"]] / store[["transfer", "storing"]]
    found["both"] = (others.transfer + others.storing) / (store.transfer + store.storing)
    found["bytes stored"] = store["MB stored"] / others["MB stored"]
    return found.rename_axis("the store beside")


def plots(frames: Frames) -> list[Plot]:
    """Returns plots of the steps of each method, and of where each stops keeping up."""
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


def failures(frames: Frames) -> list[str]:
    """Returns why models failed."""
    return sorted(set(frames["timings"].failure) - {""})


SUITE: Final = Suite(
    name="transfer",
    label="transfer",
    text="every transfer method, with the same models, from many workers",
    title="Transfer methods",
    small=("--n-iter", "5", "--rates", "10", "50", "--rate-seconds", "2"),
    default=TransferSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    failures=failures,
)
