"""How long saving a model takes, from many processes at once, in every format."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from parsl_tl.benchmarks.core.file_cache import file_system, is_in_memory
from parsl_tl.benchmarks.core.networks import Network, check_network, network_bytes
from parsl_tl.benchmarks.core.redis_server import RedisServer
from parsl_tl.benchmarks.core.start_barrier import StartBarrier
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, check_where, task_runner
from parsl_tl.benchmarks.formats.files import FILE_FORMATS
from parsl_tl.benchmarks.transfer_targets import PREFIX, REDIS, TransferPlace, transfer_formats
from parsl_tl.benchmarks.write_task import (
    MEMORY,
    SETUP,
    SYNCED,
    WriteCase,
    WriteReport,
    prepare_donor,
    retire_donor,
    write_model,
)
from parsl_tl.errors import BenchmarkError, InvalidValueError, ParslTLError
from parsl_tl.task_process import reason_of

Progress = Callable[[float, str], None]
MEASUREMENTS: Final = (SETUP, SYNCED, MEMORY)
# Files are somewhat larger than the weights in them, and a donor may stand beside the models.
_ROOM: Final = 1.2
# A process has its weights, a copy of them that is being written, and its libraries.
_COPIES: Final = 3
_LIBRARY_BYTES: Final = 600_000_000
# A member waits for the start this share of a task's time, and for the end as long again.
_PATIENCE: Final = 1 / 3


@dataclass(frozen=True)
class WriteSettings:
    """What is measured: every combination.

    Attributes:
        networks: what is written.
        num_procs: how many processes write at once.
        num_changes: all layers with weights but the first so many are changed.
        formats: of ``FILE_FORMATS``, or ``transfer:<method>``; none for all.
        measurements: of ``MEASUREMENTS``.
        repeats: of each measurement.
        folder: where files go, each time into a new folder that is removed.
        memory_folder: the same in a file system that is in memory.
        store_uri: of a store's servers for ``transfer:store``; a store in the folder if None.
        redis_url: of a server; one of the benchmark's own if None. Our own writes a log into the
            folder, unless memory is measured.
        where: the processes run.
    """

    networks: tuple[Network, ...] = (Network(scale=0.5),)
    num_procs: tuple[int, ...] = (2,)
    num_changes: tuple[int, ...] = (0, 3)
    formats: tuple[str, ...] = ()
    measurements: tuple[str, ...] = (SYNCED, MEMORY)
    repeats: int = 1
    folder: Path | None = None
    memory_folder: Path = Path("/dev/shm")
    store_uri: str | None = None
    redis_url: str | None = None
    where: Where = field(default_factory=Where)

    @property
    def all_formats(self) -> tuple[str, ...]:
        """The formats that are measured."""
        return self.formats or (*FILE_FORMATS, *transfer_formats())


class WriteRow(NamedTuple):
    """One measurement of all processes, or one process of it.

    Attributes:
        time_sec: of all: from the start to the end of the last one, by one clock; of one: its own.
            None where nothing was written.
        num_procs: processes that should write at once.
        format: see ``WriteSettings``.
        num_changes: see there.
        successful: all of them wrote all.
        result: ``ok``, or why not.
        bytes: written, by those that were successful.
        bandwidth_mb_per_sec: of these bytes; None without bytes.
        measurement: see ``WriteCase``.
        model: name of the network.
        model_bytes: of the weights of one model; None where none was built.
        repeat: from 1.
        process: number of the process; None for all.
        host: of the process.
    """

    time_sec: float | None
    num_procs: int
    format: str
    num_changes: int
    successful: bool
    result: str
    bytes: int
    bandwidth_mb_per_sec: float | None
    measurement: str
    model: str
    model_bytes: int | None
    repeat: int
    process: int | None = None
    host: str | None = None


class WriteResults(NamedTuple):
    """All rows.

    Attributes:
        measurements: of all processes together.
        tasks: of each process.
    """

    measurements: list[WriteRow]
    tasks: list[WriteRow]


def check(settings: WriteSettings) -> WriteSettings:
    """Returns the settings, if they can be measured.

    Raises:
        InvalidValueError: a number or a name that can never work.
        BenchmarkError: a folder is missing, or has not enough room, or memory has not.
    """
    for name, least in (("num_procs", 1), ("num_changes", 0)):
        for value in getattr(settings, name):
            if value < least:
                raise InvalidValueError(f"{name}={value} must be at least {least}")
    if settings.repeats < 1:
        raise InvalidValueError(f"repeats={settings.repeats} must be at least 1")
    known = (*FILE_FORMATS, *transfer_formats())
    for name in settings.formats:
        if name not in known:
            raise InvalidValueError(f"unknown format {name!r}; choose from {', '.join(known)}")
    for measurement in settings.measurements:
        if measurement not in MEASUREMENTS:
            raise InvalidValueError(f"unknown measurement {measurement!r}")
    for network in settings.networks:
        check_network(network)
    check_where(settings.where)
    if settings.where.config is None:  # the folders of other machines are not seen from here
        _check_room(settings)
    return settings


def _check_room(settings: WriteSettings) -> None:
    size = max(network_bytes(network) for network in settings.networks)
    procs = max(settings.num_procs)
    needed = int(size * (procs + 1) * _ROOM)
    for measurement in settings.measurements:
        folder = _base_folder(settings, measurement)
        option = "--memory-folder" if measurement == MEMORY else "--folder"
        if not folder.is_dir():
            raise BenchmarkError(f"{folder} is no folder; name another one with {option}")
        if measurement == MEMORY and not is_in_memory(folder):
            raise BenchmarkError(
                f"{folder} is on {file_system(folder)}, which is not in memory; name another "
                "one with --memory-folder"
            )
        if shutil.disk_usage(folder).free < needed:
            raise BenchmarkError(
                f"{folder} has not the {needed / 1e9:.1f} GB that are written at once; fewer "
                f"--num-procs, a smaller model (--scale), or another {option}"
            )
    memory = procs * (_COPIES * size + _LIBRARY_BYTES) + needed * (MEMORY in settings.measurements)
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory > available:
        raise BenchmarkError(
            f"{procs} processes need about {memory / 1e9:.1f} GB of memory, of which there are "
            f"{available / 1e9:.1f}; fewer --num-procs, or a smaller model (--scale)"
        )


def _base_folder(settings: WriteSettings, measurement: str) -> Path:
    if measurement == MEMORY:
        return settings.memory_folder
    return settings.folder or Path(tempfile.gettempdir())


def run_write_bench(settings: WriteSettings, progress: Progress) -> WriteResults:
    """Measures everything; what fails becomes a row with its reason.

    Args:
        settings: see ``check``.
        progress: called before each step.

    Raises:
        BenchmarkError: there are too few workers.
        ConfigError: the executor configuration cannot be loaded.
    """
    results = WriteResults([], [])
    combinations = list(
        itertools.product(
            settings.networks,
            settings.measurements,
            settings.num_procs,
            settings.num_changes,
            settings.all_formats,
            range(1, settings.repeats + 1),
        )
    )
    progress(0.0, "starting processes")
    with task_runner(settings.where, max(settings.num_procs)) as runner:
        runner.submit(time.time).result()  # workers may stand in a queue for long
        for index, (network, measurement, procs, changes, name, repeat) in enumerate(combinations):
            step = f"{network.label}, {measurement}, {procs} processes, {name}, changes {changes}"
            progress(index / len(combinations), f"{step} ({repeat}/{settings.repeats})")
            with _case(settings, network, measurement, name, changes) as case:
                outcomes, seconds = _measure(settings, runner, case, procs)
            _add_rows(results, case, procs, repeat, outcomes, seconds)
    progress(1.0, "done")
    return results


@contextlib.contextmanager
def _case(
    settings: WriteSettings, network: Network, measurement: str, name: str, num_changes: int
) -> Iterator[WriteCase]:
    """Gives a case with a folder of its own, which goes afterwards, as far as it is seen here."""
    folder = _base_folder(settings, measurement) / f"parsl-tl-writes-{secrets.token_hex(8)}"
    place = TransferPlace(folder.resolve(), settings.store_uri, settings.redis_url)
    outlives = {"store": settings.store_uri, REDIS: settings.redis_url}
    case = WriteCase(
        measurement=measurement,
        network=network,
        format=name,
        num_changes=num_changes,
        place=place,
        first_id=secrets.randbits(40) << 20,
        outlives=outlives.get(name.removeprefix(PREFIX)) is not None and name.startswith(PREFIX),
    )
    try:
        yield case
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(
    settings: WriteSettings, runner: TaskRunner, case: WriteCase, procs: int
) -> tuple[list[WriteReport | str], float | None]:
    """Returns what each process did, or why it did not, and the time of all."""
    with contextlib.ExitStack() as stack:
        try:
            case = _with_server(settings, case, stack)
            if case.has_donor:
                runner.submit(prepare_donor, case).result()
        except Exception as error:  # whatever a worker, a server or a format comes up with
            return [f"before the start: {reason_of(error)}"] * procs, None
        outcomes, seconds = _write_at_once(settings, runner, case, procs)
        if case.outlives and case.has_donor:
            # If the server is gone, each task has said so.
            with contextlib.suppress(ParslTLError):
                runner.submit(retire_donor, case).result()
    return outcomes, seconds


def _with_server(
    settings: WriteSettings, case: WriteCase, stack: contextlib.ExitStack
) -> WriteCase:
    """Starts the Redis server, if the case needs one of ours."""
    if case.format != f"{PREFIX}{REDIS}" or settings.redis_url is not None:
        return case
    log = None
    if case.measurement != MEMORY:
        log = case.place.folder
        log.mkdir(parents=True)
    server = stack.enter_context(RedisServer(log, synced=case.measurement == SYNCED))
    return replace(case, place=case.place._replace(redis_url=server.url))


def _write_at_once(
    settings: WriteSettings, runner: TaskRunner, case: WriteCase, procs: int
) -> tuple[list[WriteReport | str], float | None]:
    with_setup = case.measurement == SETUP
    patience = settings.where.seconds * _PATIENCE
    with StartBarrier(procs, runner.addresses, patience, together=not with_setup) as barrier:
        futures = []
        for number in range(procs):
            future = runner.submit(write_model, case, number, barrier.address, fresh=with_setup)
            future.add_done_callback(_leave_if_failed(barrier, number))
            futures.append(future)
        outcomes = [_outcome(future) for future in futures]
        return outcomes, barrier.seconds


def _leave_if_failed(barrier: StartBarrier, number: int) -> Callable[[Future[Any]], None]:
    def leave(future: Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            barrier.leave(number)

    return leave


def _outcome(future: Future[Any]) -> WriteReport | str:
    try:
        report: WriteReport = future.result()
    except Exception as error:  # whatever a task, or Parsl, comes up with
        return reason_of(error)
    return report


def _add_rows(
    results: WriteResults,
    case: WriteCase,
    procs: int,
    repeat: int,
    outcomes: Sequence[WriteReport | str],
    seconds: float | None,
) -> None:
    def row(
        seconds: float | None, num_bytes: int, reason: str, size: int | None, *process: Any
    ) -> WriteRow:
        bandwidth = num_bytes / seconds / 1e6 if seconds and num_bytes else None
        nothing = "ok" if num_bytes else "ok, wrote nothing"
        return WriteRow(
            seconds,
            procs,
            case.format,
            case.num_changes,
            not reason,
            reason or nothing,
            num_bytes,
            bandwidth,
            case.measurement,
            case.network.label,
            size,
            repeat,
            *process,
        )

    reports = [outcome for outcome in outcomes if isinstance(outcome, WriteReport)]
    size = max((report.model_bytes for report in reports), default=None)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, WriteReport):
            one = row(outcome.seconds, outcome.num_bytes, "", size, number, outcome.host)
        else:
            one = row(None, 0, outcome, size, number)
        results.tasks.append(one)
    failed = [(n, outcome) for n, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    reason = ""
    if failed:
        reason = f"{len(failed)} of {procs} failed; process {failed[0][0]}: {failed[0][1]}"
    total = sum(report.num_bytes for report in reports)
    results.measurements.append(row(seconds if reports else None, total, reason, size))
