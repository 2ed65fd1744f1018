"""Transfer methods side by side: how long naming, transfer and storing take, and at which rate."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from parsl_tl.benchmarks.core.redis_server import RedisServer, redis_missing
from parsl_tl.benchmarks.core.report import percentiles
from parsl_tl.benchmarks.core.start_barrier import BarrierAddress, StartBarrier
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, check_where, task_runner
from parsl_tl.benchmarks.transfer_models import ModelFamily
from parsl_tl.benchmarks.transfer_targets import REDIS, TransferPlace
from parsl_tl.benchmarks.transfer_tasks import (
    Arrivals,
    TransferCase,
    TransferRow,
    run_at_rate,
    run_transfers,
    store_donors,
)
from parsl_tl.errors import BenchmarkError, InvalidValueError
from parsl_tl.task_process import reason_of

Progress = Callable[[float, str], None]
METHODS = ("store", "safetensors", "hdf5", REDIS)
_PACKAGES = {"safetensors": "safetensors", "hdf5": "h5py", REDIS: "redis"}


@dataclass(frozen=True)
class TransferSettings:
    """What is measured.

    Attributes:
        methods: names of transfer methods.
        family: of the models.
        n_iter: models per worker.
        workers: tasks at once.
        donors: models that are there before.
        rates: transfers per second, of all workers together; each is tried for a while.
        rate_seconds: for which each rate is tried.
        folder: where models go; a folder in it is made, and removed at the end.
        store_uri: of a store on servers; one in the folder if None.
        redis_url: of a Redis server; one is started on this machine if None.
        where: tasks run.
    """

    methods: tuple[str, ...] = METHODS
    family: ModelFamily = field(default_factory=ModelFamily)
    n_iter: int = 10
    workers: int = 2
    donors: int = 5
    rates: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    rate_seconds: float = 5.0
    folder: Path | None = None
    store_uri: str | None = None
    redis_url: str | None = None
    where: Where = field(default_factory=Where)


class RateRow(NamedTuple):
    """One method at one rate.

    Attributes:
        method: name of the transfer method.
        models: kind of the models.
        workers: tasks at once.
        asked_per_sec: transfers that were due per second.
        done_per_sec: transfers that were done per second.
        p50_sec: from when one was due until it was done, median; None if none was.
        p99_sec: the 99th percentile.
        failed: transfers that failed.
        failure: why the first of them did.
    """

    method: str
    models: str
    workers: int
    asked_per_sec: float
    done_per_sec: float
    p50_sec: float | None
    p99_sec: float | None
    failed: int
    failure: str


class TransferRows(NamedTuple):
    """Everything that was measured.

    Attributes:
        transfers: one row per model.
        throughput: for each method, models per second of all workers together; None if nothing
            ended.
        kept: for each method, bytes on disk (or in the Redis server) per model, donors included;
            None where that cannot be seen from here.
        rates: one row per method and rate.
    """

    transfers: list[TransferRow]
    throughput: dict[str, float | None]
    kept: dict[str, float | None]
    rates: list[RateRow]


def missing_methods(redis_url: str | None = None) -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line.

    Args:
        redis_url: of a server that runs already; None where one has to be started.
    """
    missing = {
        method: f"{package} is not installed: pip install {package}"
        for method, package in _PACKAGES.items()
        if importlib.util.find_spec(package) is None
    }
    reason = redis_missing() if redis_url is None else None
    if reason is not None:
        missing[REDIS] = f"{reason}, or give --redis-url"
    return missing


def check(settings: TransferSettings) -> TransferSettings:
    """Returns the settings, if they can be measured.

    Raises:
        InvalidValueError: a value that can never work.
        BenchmarkError: a folder or a program is missing.
    """
    settings.family.check()
    check_where(settings.where)
    for name in ("n_iter", "workers", "donors"):
        if getattr(settings, name) < 1:
            raise InvalidValueError(f"{name}={getattr(settings, name)} must be at least 1")
    for rate in (*settings.rates, settings.rate_seconds):
        if not (rate > 0 and math.isfinite(rate)):
            raise InvalidValueError(f"rate or time {rate} must be a positive number")
    unknown = [name for name in settings.methods if name not in METHODS]
    if unknown or not settings.methods:
        raise InvalidValueError(
            f"transfer methods {list(settings.methods)}: choose from {', '.join(METHODS)}"
        )
    for method, reason in missing_methods(settings.redis_url).items():
        if method in settings.methods:
            raise BenchmarkError(f"{method} cannot be measured: {reason}, or leave it out")
    if settings.folder is not None and not settings.folder.is_dir():
        raise BenchmarkError(f"{settings.folder} is no folder; name another one")
    return settings


def run_transfer_bench(settings: TransferSettings, progress: Progress) -> TransferRows:
    """Measures every method, one after the other.

    Args:
        settings: see ``check``.
        progress: called before each step.

    Raises:
        BenchmarkError: tasks cannot run where they should.
    """
    rows = TransferRows([], {}, {}, [])
    steps = len(settings.methods) * (1 + len(settings.rates))
    done = 0
    with task_runner(settings.where, settings.workers) as runner:
        for method in settings.methods:
            with _case(settings, method) as case:
                progress(done / steps, f"{method}, {settings.workers} workers")
                _measure_transfers(settings, runner, case, rows)
                done += 1
                for rate in settings.rates:
                    progress(done / steps, f"{method}, {rate:g} donors a second")
                    rows.rates.append(_measure_rate(settings, runner, case, rate))
                    done += 1
    progress(1.0, "done")
    return rows


@contextlib.contextmanager
def _case(settings: TransferSettings, method: str) -> Iterator[TransferCase]:
    """Makes a method's place, and removes it with all that is in it."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(dir=settings.folder, prefix=f"parsl-tl-{method}-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = settings.redis_url
        if method == REDIS and url is None:
            url = f"unix://{stack.enter_context(RedisServer()).socket}"
        place = TransferPlace(folder, settings.store_uri, url)
        yield TransferCase(method, place, settings.family, settings.donors, settings.workers)


def _measure_transfers(
    settings: TransferSettings, runner: TaskRunner, case: TransferCase, rows: TransferRows
) -> None:
    try:
        runner.submit(store_donors, case).result()
    except BenchmarkError as error:
        failed = TransferRow(case.method, case.family.kind, 0, 0, failure=str(error))
        rows.transfers.append(failed)
        rows.throughput[case.method] = rows.kept[case.method] = None
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
            rows.transfers.append(failed._replace(failure=reason_of(result)))
            continue
        rows.transfers.extend(result)
        count += sum(not row.failure for row in result)
    rows.throughput[case.method] = count / seconds if seconds else None
    kept = _kept_bytes(case)
    # Every worker made one more model before the start.
    models = case.donors + count + settings.workers
    rows.kept[case.method] = None if kept is None else kept / models


def _measure_rate(
    settings: TransferSettings, runner: TaskRunner, case: TransferCase, rate: float
) -> RateRow:
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
    return RateRow(
        case.method,
        case.family.kind,
        case.workers,
        rate,
        len(latencies) / seconds if seconds else 0.0,
        found.get("p50"),
        found.get("p99"),
        sum(own.failures for own in arrivals) + len(errors),
        reasons[0] if reasons else "",
    )


def _together(
    settings: TransferSettings,
    runner: TaskRunner,
    call: Callable[[int, BarrierAddress], tuple[Any, ...]],
) -> tuple[Sequence[Any], float | None]:
    """Runs one task per worker at the same time; gives results or errors, and the seconds."""
    with StartBarrier(settings.workers, runner.addresses, settings.where.seconds) as barrier:
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
