"""What one process does when models are written: gets ready, starts with the others, writes."""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core import file_cache
from parsl_tl.benchmarks.core.networks import Network, build_network
from parsl_tl.benchmarks.core.start_barrier import BarrierAddress, Participant
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.file_format import layers_with_weights, written_files
from parsl_tl.benchmarks.formats.transfer import PREFIX, TransferPlace, make_method
from parsl_tl.errors import BenchmarkError, ParslTLError
from parsl_tl.training.runtime import array_bytes
from parsl_tl.transfer.weights import layers_with_weights as by_stable_name

SETUP: Final = "with set-up"  # nothing is loaded when the time begins; no sync
SYNCED: Final = "synced"  # all start together when they are ready; fsync at the end
MEMORY: Final = "memory"  # the same in a file system that is in memory
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
    outlives: bool = False  # a server that serves others keeps the models, so they are retired

    @property
    def has_donor(self) -> bool:
        """Whether a donor must be there first."""
        return self.format.startswith(PREFIX) and self.num_changes > 0


class WriteReport(NamedTuple):
    """What one process did."""

    seconds: float | None = None  # from its start to its last byte, or the end of its fsync
    num_bytes: int = 0  # that it wrote
    model_bytes: int = 0  # of the weights of its model
    host: str | None = None  # where it ran
    reason: str = ""  # why it failed, and all else is unknown


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


def write_model(case: WriteCase, number: int, address: BarrierAddress) -> WriteReport:
    """Writes one model, at the same time as the other processes of the case.

    Raises:
        BenchmarkError: less was written than there is, or the start was missed.
        ParslTLError: as the format or the transfer method has it.
        OSError: the folder is full, or cannot be written.
    """
    with_setup = case.measurement == SETUP
    with Participant(address, number) as participant:
        if with_setup:
            participant.wait()
        start = time.perf_counter()
        ready = _prepare(case, number)
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
            file_cache.sync(written)


def _prepare(case: WriteCase, number: int) -> _Ready:
    folder = case.place.folder
    folder.mkdir(parents=True, exist_ok=True)
    if case.measurement == MEMORY and not file_cache.is_in_memory(folder):
        kind = f"{folder} is on {file_cache.file_system(folder)}, which is not in memory"
        raise BenchmarkError(f"{kind}; name another folder")
    model, graph = _network(case.network)
    if case.format.startswith(PREFIX):
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
    found = file_cache.total_bytes(files)
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
