"""Transfer methods side by side: how long naming, transfer and storing take, and at which rate."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.redis_server import RedisServer, redis_missing
from parsl_tl.benchmarks.core.report import Plot, percentiles
from parsl_tl.benchmarks.core.room import folder_kind
from parsl_tl.benchmarks.core.start_barrier import BarrierAddress, StartBarrier
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
from parsl_tl.task_process import reason_of

METHODS: Final = ("store", "safetensors", "hdf5", REDIS)
_PACKAGES = {"safetensors": "safetensors", "hdf5": "h5py", REDIS: "redis"}
_STEPS = {"standardize_sec": "naming", "transfer_sec": "transfer", "store_sec": "storing"}


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


class _Rows(NamedTuple):
    timings: list[TransferRow]
    methods: list[Row]
    rates: list[Row]


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
    rows = _Rows([], [], [])
    methods = settings.transfer or ()
    steps = len(methods) * (1 + len(settings.rates))
    done = 0
    with task_runner(settings.where, settings.workers) as runner:
        for method in methods:
            with _case(settings, method) as case:
                progress(done / steps, f"{method}, {settings.workers} workers")
                _measure_transfers(settings, runner, case, rows)
                done += 1
                for rate in settings.rates:
                    progress(done / steps, f"{method}, {rate:g} donors a second")
                    rows.rates.append(_measure_rate(settings, runner, case, rate))
                    done += 1
    progress(1.0, "done")
    timings = [row._asdict() for row in rows.timings]
    return {"timings": timings, "methods": rows.methods, "rates": rows.rates}


@contextlib.contextmanager
def _case(settings: TransferSettings, method: str) -> Iterator[TransferCase]:
    """Makes a method's place, and removes it with all that is in it."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(dir=settings.folder, prefix=f"parsl-tl-{method}-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = settings.redis_url
        if method == REDIS and url is None:
            url = stack.enter_context(RedisServer()).url
        place = TransferPlace(folder, settings.store, url)
        yield TransferCase(method, place, settings.family, settings.donors, settings.workers)


def _measure_transfers(
    settings: TransferSettings, runner: TaskRunner, case: TransferCase, rows: _Rows
) -> None:
    try:
        runner.submit(store_donors, case).result()
    except BenchmarkError as error:
        failed = TransferRow(case.method, case.family.kind, 0, 0, failure=str(error))
        rows.timings.append(failed)
        rows.methods.append(_method_row(case, None, None))
        return
    results, seconds = _together(
        settings,
        runner,
        lambda worker, address: (run_transfers, case, worker, settings.n_iter, address),
    )
    count = 0
    for worker, result in enumerate(results):
        if isinstance(result, BaseException):
            failed = TransferRow(case.method, case.family.kind, worker, 0)
            rows.timings.append(failed._replace(failure=reason_of(result)))
            continue
        rows.timings.extend(result)
        count += sum(not row.failure for row in result)
    kept = _kept_bytes(case)
    # Every worker made one more model before the start.
    models = case.donors + count + case.workers
    per_model = None if kept is None else kept / models
    rows.methods.append(_method_row(case, count / seconds if seconds else None, per_model))


def _method_row(case: TransferCase, rate: float | None, kept: float | None) -> Row:
    return {"method": case.method, "models_per_sec": rate, "kept_bytes": kept}


def _measure_rate(
    settings: TransferSettings, runner: TaskRunner, case: TransferCase, rate: float
) -> Row:
    results, _ = _together(
        settings,
        runner,
        lambda worker, address: (
            *(run_at_rate, case, worker, rate, settings.rate_seconds, address),
        ),
    )
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
    settings: TransferSettings,
    runner: TaskRunner,
    call: Callable[[int, BarrierAddress], tuple[Any, ...]],
) -> tuple[Sequence[Any], float | None]:
    """Runs one task per worker at the same time; gives results or errors, and the seconds."""
    with StartBarrier(settings.workers, runner.addresses, settings.where.timeout) as barrier:
        futures: list[Future[Any]] = []
        for worker in range(settings.workers):
            future = runner.submit(*call(worker, barrier.address))
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
    steps = {**_STEPS, "copy_sec": "a copy", "first_use_sec": "first use"}
    times = good.astype(dict.fromkeys(steps, float)).groupby("method")[list(steps)]
    for suffix, share in (("", 0.5), (" p99", 0.99)):
        found = times.quantile(share).mul(1e3)
        table = table.join(found.rename(columns={old: new + suffix for old, new in steps.items()}))
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
        rates = frames["rates"].astype({"p50_sec": float, "p99_sec": float})
        rates = rates.assign(p50_sec=rates.p50_sec * 1e3, p99_sec=rates.p99_sec * 1e3)
        names = {"asked_per_sec": "asked/s", "done_per_sec": "done/s"}
        names |= {"p50_sec": "p50, ms", "p99_sec": "p99, ms"}
        shown = rates[["method", *names, "failed"]].rename(columns=names)
        tables.append(("At fixed rates", shown))
    return tables


def against_store(table: Any) -> Any:
    """Returns how many times the store is faster and smaller; empty if nothing can be told."""
    others = table[(table.models > 0) & (table.index != "store")]
    if "store" not in table.index or not table.models["store"]:
        return others[:0]
    store = table.loc["store"]
    both = (others.transfer + others.storing) / (store.transfer + store.storing)
    shares = {
        "transfer": others.transfer / store.transfer,
        "storing": others.storing / store.storing,
        "both": both,
        "bytes stored": store["MB stored"] / others["MB stored"],
    }
    return pd.DataFrame(shares).rename_axis("the store beside")


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
    default=TransferSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    failures=failures,
)
