"""How long saving a model takes, from many processes at once, in every format.

A process gets ready, starts with the others, and writes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core import room
from parsl_tl.benchmarks.core.meeting import Participant
from parsl_tl.benchmarks.core.networks import Network, Networks, build_network
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.room import check_room, folder_kind
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, in_steps, silent
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, task_runner
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.file_format import layers_with_weights, written_files
from parsl_tl.benchmarks.formats.transfer import (
    PREFIX,
    REDIS,
    TransferPlace,
    make_method,
    place_of,
    transfer_formats,
)
from parsl_tl.errors import BenchmarkError, ParslTLError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import reason_of
from parsl_tl.training.runtime import array_bytes
from parsl_tl.transfer.weights import layers_with_weights as by_stable_name

SETUP: Final = "with set-up"  # nothing is loaded when the time begins; no sync
SYNCED: Final = "synced"  # all start together when they are ready; fsync at the end
MEMORY: Final = "memory"  # the same in a file system that is in memory
FORMATS: Final = (*FILE_FORMATS, *transfer_formats())
# Files are somewhat larger than the weights in them, and a donor may stand beside the models.
_ROOM: Final = 1.2
# A process has its weights, a copy of them that is being written, and its libraries.
_COPIES: Final = 3
_LIBRARY_BYTES: Final = 600_000_000
# A participant waits for the start this share of a task's time, and for the end as long again.
_PATIENCE: Final = 1 / 3
_TITLES: Final = {
    SETUP: "GPU and framework set-up included, no sync",
    SYNCED: "on disk, set-up excluded, fsync",
    MEMORY: "in memory, set-up excluded, fsync",
}
_QUALITY: Final = 0.5


@dataclass(frozen=True)
class WriteCase:
    """What all processes do at the same time."""

    measurement: str  # ``SETUP``, ``SYNCED`` or ``MEMORY``
    network: Network  # what is written
    format: str  # of ``FILE_FORMATS``, or ``transfer:<method>``
    num_changes: int  # the first so many layers with weights are the donor's; others are changed
    place: TransferPlace  # where to; the folder is this case's alone, and goes when all are done
    first_id: int  # of the models; the donor has it, and process n the n-th after it
    outlives: bool  # a server that serves others keeps the models, so they are retired

    @property
    def is_transfer(self) -> bool:
        """Whether a transfer method stores the models."""
        return self.format.startswith(PREFIX)

    @property
    def has_donor(self) -> bool:
        """Whether a donor must be there first."""
        return self.is_transfer and self.num_changes > 0


class WriteReport(NamedTuple):
    """What one process did."""

    seconds: float | None = None  # from its start to its last byte, or the end of its fsync
    num_bytes: int = 0  # that it wrote
    model_bytes: int = 0  # of the weights of its model
    host: str | None = None  # where it ran
    reason: str = ""  # why it failed, and all else is unknown


@dataclass(frozen=True)
class WriteSuite(Suite):
    """Networks x measurements x processes x changes x formats."""

    name = "writes"
    label = "writes"
    text = "saving a model from many processes at once, in every format"
    title = "Writing from many processes"
    small = ("--model", "dense:16x10", "--num-changes", "0", "9")
    out = "runs/writes"
    has_tasks = True

    with_setup: bool = option(False, "set-up included, no sync")
    synced: bool = option(False, "set-up excluded, fsync")
    memory: bool = option(False, "set-up excluded, in memory")
    num_procs: tuple[int, ...] = option((2,), "processes that write at once", least=1)
    num_changes: tuple[int, ...] = option(
        (0, 3), "all layers with weights but the first K are changed", metavar="K", least=0
    )
    formats: tuple[str, ...] | None = option(
        None, "weights.h5, keras, safetensors, tensorflow, transfer:<method> (all)", choices=FORMATS
    )
    repeats: int = option(1, "of each measurement", least=1)
    folder: Path | None = option(None, "on a file system (the system's temporary one)")
    memory_folder: Path = option(Path("/dev/shm"), "the same in memory")
    store: str | None = option(
        None, "servers for transfer:store (a store in the folder)", metavar="URI"
    )
    redis_url: str | None = option(
        None, "a server for transfer:redis (one is started)", metavar="URL"
    )
    networks: Networks = nested(Networks(), "networks")
    where: Where = nested(Where(), "where it runs")

    @property
    def measurements(self) -> tuple[str, ...]:
        """Those that are made: without one that is asked for, all without set-up."""
        asked = {SETUP: self.with_setup, SYNCED: self.synced, MEMORY: self.memory}
        return tuple(name for name, is_asked in asked.items() if is_asked) or (SYNCED, MEMORY)

    def _base(self, measurement: str) -> Path:
        in_memory = measurement == MEMORY
        return self.memory_folder if in_memory else self.folder or Path(tempfile.gettempdir())

    def check(self) -> Self:
        """Refuses networks that can never work, and folders that are not there or have no room."""
        size, procs = self.networks.check(), max(self.num_procs)
        # The folders of other machines are not seen from here.
        for measurement in self.measurements if self.where.config is None else ():
            folder = self._base(measurement)
            flag = "--memory-folder" if measurement == MEMORY else "--folder"
            folder_kind(folder, flag, must_be_memory=measurement == MEMORY)
            on_disk, memory = size * (procs + 1) * _ROOM, procs * (_COPIES * size + _LIBRARY_BYTES)
            advice = "fewer --num-procs, a smaller model (--scale)"
            check_room(folder, on_disk, memory, advice, flag)
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``writes`` and, of each process, ``write_tasks``; what fails has its reason."""
        tables: Tables = {"writes": [], "write_tasks": []}
        axes = (self.networks.all, self.measurements, self.num_procs, self.num_changes)
        grid = itertools.product(*axes, self.formats or (), range(1, self.repeats + 1))
        steps = []
        for given in grid:
            network, measurement, procs, changes, name, repeat = given
            step = f"{network.label}, {measurement}, {procs} processes, {name}, changes {changes}"
            steps.append((f"{step} ({repeat}/{self.repeats})", given))
        progress(0.0, "starting processes")
        with task_runner(self.where, max(self.num_procs)) as runner:
            runner.submit(time.time).result()  # workers may stand in a queue for long
            for network, measurement, procs, changes, name, repeat in in_steps(progress, steps):
                case = self._case(network, measurement, name, changes)
                try:
                    reports, seconds = self._measure(runner, case, procs)
                finally:  # as far as the folder is seen from here
                    shutil.rmtree(case.place.folder, ignore_errors=True)
                _add_rows(tables, case, repeat, reports, seconds)
        return tables

    def _case(self, network: Network, measurement: str, name: str, changes: int) -> WriteCase:
        """Returns a case with a folder of its own."""
        folder = self._base(measurement) / f"parsl-tl-writes-{secrets.token_hex(8)}"
        place = TransferPlace(folder.resolve(), self.store, self.redis_url)
        stays = {f"{PREFIX}store": self.store, f"{PREFIX}{REDIS}": self.redis_url}
        first_id, outlives = secrets.randbits(40) << 20, stays.get(name) is not None
        return WriteCase(measurement, network, name, changes, place, first_id, outlives)

    def _measure(
        self, runner: TaskRunner, case: WriteCase, procs: int
    ) -> tuple[list[WriteReport], float | None]:
        """Returns what each process did, or why it did not, and the time of all."""
        log = None if case.measurement == MEMORY else case.place.folder
        redis: dict[str, Any] = {"append_to": log, "synced": case.measurement == SYNCED}
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(place_of(case.format, *case.place, **redis))
                case = replace(case, place=place)
                if case.has_donor:
                    runner.submit(prepare_donor, case).result()
            except Exception as error:  # whatever a worker, a server or a format comes up with
                return [WriteReport(reason=f"before the start: {reason_of(error)}")] * procs, None
            patience, fresh = self.where.timeout * _PATIENCE, case.measurement == SETUP
            results, seconds = runner.together(procs, patience, write_model, case, fresh=fresh)
            if case.outlives and case.has_donor:
                # If the server is gone, each task has said so.
                with contextlib.suppress(ParslTLError):
                    runner.submit(retire_donor, case).result()
        reports = [WriteReport(reason=one) if isinstance(one, str) else one for one in results]
        return reports, seconds

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns a table of each network and measurement."""
        names = {"num_procs": "processes", "time_sec": "seconds", "bandwidth_mb_per_sec": "MB/s"}
        rows = frames["writes"].rename(columns=names)
        columns = ["format", "processes", "num_changes", "seconds", "MB", "MB/s", "result"]
        return [
            (f"{model}, {_TITLES[measurement]}", own.assign(MB=own.bytes / 1e6)[columns])
            for (model, measurement), own in rows.groupby(["model", "measurement"], sort=False)
        ]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns plots of the first network and the most processes; of repeats, the median."""
        rows = frames["writes"]
        good = rows[rows.successful & rows.time_sec.notna()].astype({"time_sec": float})
        good = good[(good.model == rows.model[0]) & (good.num_procs == good.num_procs.max())]
        found = []
        for measurement, own in good.groupby("measurement", sort=False):
            frame = own.pivot_table("time_sec", "format", "num_changes", "median", sort=False)
            frame = frame.sort_index(axis=1).rename(
                columns=lambda k: f"all but the first {k} changed" if k else "all layers changed"
            )
            title = f"{own.num_procs.iloc[0]} x {own.model.iloc[0]}, {_TITLES[str(measurement)]}"
            name = f"writes-{str(measurement).replace(' ', '-')}"
            label = "seconds until the last process has written (less is better)"
            found.append(Plot(name, title, frame, label, "barh"))
        return found

    def failures(self, frames: Frames) -> list[str]:
        """Returns why processes did not write."""
        return list(frames["writes"].query("not successful").result)


def _add_rows(
    tables: Tables,
    case: WriteCase,
    repeat: int,
    reports: Sequence[WriteReport],
    seconds: float | None,
) -> None:
    sizes = [one.model_bytes for one in reports if not one.reason]
    known: Row = {"measurement": case.measurement, "model": case.network.label}
    known |= {"model_bytes": max(sizes, default=None), "repeat": repeat}
    failed = [f"process {n}: {one.reason}" for n, one in enumerate(reports) if one.reason]
    reason = f"{len(failed)} of {len(reports)} failed; {failed[0]}" if failed else ""
    total = (seconds if sizes else None, sum(one.num_bytes for one in reports), reason)
    own = [(one.seconds, one.num_bytes, one.reason) for one in reports]
    for number, (time_sec, num_bytes, why) in enumerate([total, *own], -1):
        row: Row = {"time_sec": time_sec, "num_procs": len(reports), "format": case.format}
        row |= {"num_changes": case.num_changes, "successful": not why}
        row |= {"result": why or ("ok" if num_bytes else "ok, wrote nothing"), "bytes": num_bytes}
        speed = num_bytes / time_sec / 1e6 if time_sec and num_bytes else None
        row |= {"bandwidth_mb_per_sec": speed, **known}
        if number < 0:
            tables["writes"].append(row)
        else:
            task = {**row, "process": number, "host": reports[number].host}
            tables["write_tasks"].append(task)


class _Ready(NamedTuple):
    """A model that is ready to be written."""

    write: Callable[[], int | None]  # gives the bytes that the method says it wrote, if it does
    path: Path  # file, or folder, that it goes to
    model: Any  # whose weights they are
    clean: Callable[[], None]  # removes what was written; called when all processes are done


def prepare_donor(case: WriteCase) -> None:
    """Stores the model from which the models of the case take their first layers over."""
    model, graph = _network(case.network)
    with contextlib.closing(make_method(case.format, case.place)) as method:
        trained = list(by_stable_name(model, graph))
        method.store(model, graph, trained, model_id=case.first_id, quality=_QUALITY)
        _sync_if_there(case.place.folder)


def retire_donor(case: WriteCase) -> None:
    """Takes the donor out of a server that outlives the case."""
    with contextlib.closing(make_method(case.format, case.place)) as method:
        method.retire(case.first_id)


def write_model(participant: Participant, case: WriteCase) -> WriteReport:
    """Writes one model, at the same time as the other processes of the case.

    Raises:
        BenchmarkError: less was written than there is, or the start was missed.
        ParslTLError: as the format or the transfer method has it.
        OSError: the folder is full, or cannot be written.
    """
    with_setup = case.measurement == SETUP
    if with_setup:
        participant.wait()
    start = time.perf_counter()
    ready = _prepare(case, participant.number)
    if not with_setup:
        participant.wait()
        start = time.perf_counter()
    try:
        told = ready.write()
        if not with_setup:
            _sync_if_there(ready.path)
        seconds = time.perf_counter() - start
        participant.done()
        model_bytes = array_bytes(ready.model.weights)
        num_bytes = _written(ready.path, told, model_bytes)
    finally:
        if participant.leave():
            ready.clean()
    return WriteReport(seconds, num_bytes, model_bytes, socket.gethostname())


def _sync_if_there(path: Path) -> None:
    """Syncs what a format made of a path, or what is in a folder; a server has no such thing."""
    for written in {*written_files(path), path}:
        if written.exists():
            room.sync(written)


def _prepare(case: WriteCase, number: int) -> _Ready:
    folder = case.place.folder
    folder.mkdir(parents=True, exist_ok=True)
    folder_kind(folder, must_be_memory=case.measurement == MEMORY)
    model, graph = _network(case.network)
    if case.is_transfer:
        return _prepare_method(case, number, model, graph)
    _change(layers_with_weights(model)[case.num_changes :], case, number)
    file_format, own = FILE_FORMATS[case.format], folder / str(number)
    own.mkdir()
    path = own / f"model{file_format.suffix}"
    clean = functools.partial(shutil.rmtree, own, ignore_errors=True)
    return _Ready(lambda: file_format.save(model, path), path, model, clean)


def _prepare_method(case: WriteCase, number: int, model: Any, graph: Any) -> _Ready:
    method, model_id = make_method(case.format, case.place), case.first_id + 1 + number
    layers = by_stable_name(model, graph)
    frozen, trained = list(layers)[: case.num_changes], list(layers)[case.num_changes :]
    # Opens the connection, too, so that no process does that on the clock.
    method.recall(graph, model_id=model_id)
    transferred, parent = None, None
    if case.has_donor:
        transferred, parent = method.transfer(model, graph, model_id=model_id), case.first_id
        missing = set(frozen) - set(transferred.layer_names)
        if missing and case.format != f"{PREFIX}none":
            raise BenchmarkError(f"the first {case.num_changes} layers did not come over")
        transferred = replace(transferred, layer_names=tuple(frozen))
    _change([layers[layer] for layer in trained], case, number)
    known: dict[str, Any] = {"model_id": model_id, "quality": _QUALITY, "parent": parent}

    def write() -> int:
        stored = method.store(model, graph, trained, transferred=transferred, **known)
        return int(stored.num_bytes)

    def clean() -> None:
        if case.outlives:
            # What cannot be retired was not stored, or the server is gone; the write told that.
            with contextlib.suppress(ParslTLError):
                method.retire(model_id)
        method.close()
        shutil.rmtree(case.place.folder, ignore_errors=True)

    return _Ready(write, case.place.folder, model, clean)


def _written(path: Path, told: int | None, model_bytes: int) -> int:
    """Returns how many bytes were written, after a look at the files."""
    files = written_files(path)
    found = room.total_bytes(files)
    if told is None and found < model_bytes:
        raise BenchmarkError(f"{found:,} bytes were written of {model_bytes:,}")
    # Where there are no files, a server has the model.
    if told is not None and path.is_dir() and files and found < told:
        raise BenchmarkError(f"{told:,} bytes should be written, but the folder holds {found:,}")
    return found if told is None else told


@functools.lru_cache(maxsize=1)
def _network(network: Network) -> tuple[Any, Any]:
    """Builds the model, or takes that of the task before."""
    model = build_network(network)
    return model, ArchitectureGraph.from_keras(model)


def _change(layers: list[Any], case: WriteCase, number: int) -> None:
    """Gives layers random weights, which differ from case to case and process."""
    rng = np.random.default_rng([case.first_id, number])
    for weight in (weight for layer in layers for weight in layer.weights):
        # As large as trained ones, and no easier to compress for a disk that does so.
        values = rng.random(tuple(weight.shape), np.float32)
        weight.assign((values - np.float32(0.5)) * np.float32(0.1))
