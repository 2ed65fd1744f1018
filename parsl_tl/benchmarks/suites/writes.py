"""How long saving a model takes, from many processes at once, in every format."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from parsl_tl.benchmarks.core.file_cache import file_system
from parsl_tl.benchmarks.core.networks import Network, Networks
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.redis_server import RedisServer
from parsl_tl.benchmarks.core.room import TMPFS, check_room, folder_kind
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, in_steps, silent
from parsl_tl.benchmarks.core.task_runner import TaskRunner, Where, task_runner
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.transfer import PREFIX, REDIS, TransferPlace, transfer_formats
from parsl_tl.benchmarks.suites import write_task
from parsl_tl.benchmarks.suites.write_task import MEMORY, SETUP, SYNCED, WriteCase, WriteReport
from parsl_tl.errors import BenchmarkError, ParslTLError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import reason_of

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
            if folder_kind(folder, flag) != TMPFS and measurement == MEMORY:
                kind = f"{folder} is on {file_system(folder)}, which is not in memory"
                raise BenchmarkError(f"{kind}; name another one with {flag}")
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
        progress(1.0, "done")
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
        with contextlib.ExitStack() as stack:
            try:
                if case.format == f"{PREFIX}{REDIS}" and self.redis_url is None:
                    case = _with_server(case, stack)
                if case.has_donor:
                    runner.submit(write_task.prepare_donor, case).result()
            except Exception as error:  # whatever a worker, a server or a format comes up with
                return [WriteReport(reason=f"before the start: {reason_of(error)}")] * procs, None
            patience, fresh = self.where.timeout * _PATIENCE, case.measurement == SETUP
            write = write_task.write_model
            results, seconds = runner.together(procs, patience, write, case, fresh=fresh)
            if case.outlives and case.has_donor:
                # If the server is gone, each task has said so.
                with contextlib.suppress(ParslTLError):
                    runner.submit(write_task.retire_donor, case).result()
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


def _with_server(case: WriteCase, stack: contextlib.ExitStack) -> WriteCase:
    log = None if case.measurement == MEMORY else case.place.folder
    if log is not None:
        log.mkdir(parents=True)
    server = stack.enter_context(RedisServer(log, synced=case.measurement == SYNCED))
    return replace(case, place=case.place._replace(redis_url=server.url))


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
