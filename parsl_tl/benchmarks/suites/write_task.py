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

from parsl_tl.benchmarks.core.file_cache import (
    file_system,
    files_under,
    is_in_memory,
    sync,
    total_bytes,
)
from parsl_tl.benchmarks.core.networks import Network, build_network
from parsl_tl.benchmarks.core.start_barrier import BarrierAddress, Participant
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.file_format import layers_with_weights, written_files
from parsl_tl.benchmarks.formats.transfer import PREFIX, TransferPlace, make_method
from parsl_tl.errors import BenchmarkError, ParslTLError

SETUP: Final = "with set-up"
SYNCED: Final = "synced"
MEMORY: Final = "memory"
_QUALITY: Final = 0.5


@dataclass(frozen=True)
class WriteCase:
    """What all processes do at the same time.

    Attributes:
        measurement: ``SETUP`` (nothing is loaded when the time begins, no sync), ``SYNCED`` (all
            start together when they are ready; fsync after each task), ``MEMORY`` (the same in a
            file system that is in memory).
        network: what is written.
        format: of ``FILE_FORMATS``, or ``transfer:<method>``.
        num_changes: the first so many layers with weights are those of the donor; all others are
            changed.
        place: where to; the folder is this case's alone, and goes when all are done.
        first_id: of the models; the donor has it, and process n the n-th after it.
        outlives: models are kept by a server that serves others too, so they are retired.
    """

    measurement: str
    network: Network
    format: str
    num_changes: int
    place: TransferPlace
    first_id: int
    outlives: bool = False

    @property
    def has_donor(self) -> bool:
        """Whether a donor must be there first."""
        return self.format.startswith(PREFIX) and self.num_changes > 0


class WriteReport(NamedTuple):
    """What one process did.

    Attributes:
        seconds: of this process, from its start to its last byte; sync included, if there is one.
        num_bytes: that it wrote.
        model_bytes: of the weights of its model.
        host: where it ran.
    """

    seconds: float
    num_bytes: int
    model_bytes: int
    host: str


class _Write(NamedTuple):
    """A model that is ready to be written.

    Attributes:
        write: does it, and gives the bytes that the method says it wrote; None if files tell.
        path: file, or folder, that it goes to.
        model_bytes: of the weights.
        clean: removes what was written; called when all processes are done.
    """

    write: Callable[[], int | None]
    path: Path
    model_bytes: int
    clean: Callable[[], None]


def prepare_donor(case: WriteCase) -> None:
    """Stores the model from which the models of the case take their first layers over.

    Raises:
        ParslTLError: it could not be stored.
    """
    model, graph = _network(case.network)
    method = make_method(case.format.removeprefix(PREFIX), case.place)
    trained = _names(model, graph)
    try:
        method.store(model, graph, trained, model_id=case.first_id, quality=_QUALITY)
        sync_if_there(case.place.folder)
    finally:
        method.close()


def retire_donor(case: WriteCase) -> None:
    """Takes the donor out of a server that outlives the case."""
    method = make_method(case.format.removeprefix(PREFIX), case.place)
    try:
        method.retire(case.first_id)
    finally:
        method.close()


def write_model(case: WriteCase, number: int, address: BarrierAddress) -> WriteReport:
    """Writes one model, at the same time as the other processes of the case.

    Args:
        case: what to do.
        number: of this process, from 0.
        address: of the barrier of all.

    Raises:
        BenchmarkError: less was written than there is, or the start was missed.
        ParslTLError: as the format or the transfer method has it.
        OSError: the folder is full, or cannot be written.
    """
    with Participant(address, number) as participant:
        if case.measurement == SETUP:
            participant.wait()
            start = time.perf_counter()
            ready = _prepare(case, number)
        else:
            ready = _prepare(case, number)
            participant.wait()
            start = time.perf_counter()
        try:
            told = ready.write()
            if case.measurement != SETUP:
                sync_if_there(ready.path)
            seconds = time.perf_counter() - start
            participant.done()
            num_bytes = _written(ready, told)
        finally:
            everyone_left = participant.leave()
            if everyone_left:
                ready.clean()
    return WriteReport(seconds, num_bytes, ready.model_bytes, socket.gethostname())


def sync_if_there(path: Path) -> None:
    """Syncs what a format made of a path, or what is in a folder; a server has no such thing."""
    for written in written_files(path):
        if written.exists():
            sync(written)
    if path.is_dir():
        sync(path)


def _prepare(case: WriteCase, number: int) -> _Write:
    folder = case.place.folder
    folder.mkdir(parents=True, exist_ok=True)
    if case.measurement == MEMORY and not is_in_memory(folder):
        raise BenchmarkError(
            f"{folder} is on {file_system(folder)}, which is not in memory; name another folder"
        )
    if case.format.startswith(PREFIX):
        return _prepare_method(case, number)
    model, _ = _network(case.network)
    _change(layers_with_weights(model)[case.num_changes :], case, number)
    file_format = FILE_FORMATS[case.format]
    own = folder / str(number)
    own.mkdir()
    path = own / f"model{file_format.suffix}"

    def write() -> None:
        file_format.save(model, path)

    def clean() -> None:
        shutil.rmtree(own, ignore_errors=True)

    return _Write(write, path, _weight_bytes(model), clean)


def _prepare_method(case: WriteCase, number: int) -> _Write:
    from parsl_tl.transfer.weights import layers_with_weights as by_stable_name

    name = case.format.removeprefix(PREFIX)
    method = make_method(name, case.place)
    model, graph = _network(case.network)
    model_id = case.first_id + 1 + number
    layers = by_stable_name(model, graph)
    names = list(layers)
    frozen, trained = names[: case.num_changes], names[case.num_changes :]
    # Opens the connection, too, so that no process does that on the clock.
    method.recall(graph, model_id=model_id)
    transferred = None
    if case.has_donor:
        transferred = method.transfer(model, graph, model_id=model_id)
        if name != "none" and not set(frozen) <= set(transferred.layer_names):
            raise BenchmarkError(f"the first {case.num_changes} layers did not come over")
        transferred = replace(transferred, layer_names=tuple(frozen))
    _change([layers[layer] for layer in trained], case, number)

    def write() -> int:
        stored = method.store(
            model,
            graph,
            trained,
            model_id=model_id,
            quality=_QUALITY,
            parent=case.first_id if case.has_donor else None,
            transferred=transferred,
        )
        return stored.num_bytes

    def clean() -> None:
        if case.outlives:
            # What cannot be retired was not stored, or the server is gone; the write told that.
            with contextlib.suppress(ParslTLError):
                method.retire(model_id)
        method.close()
        shutil.rmtree(case.place.folder, ignore_errors=True)

    return _Write(write, case.place.folder, _weight_bytes(model), clean)


def _written(ready: _Write, told: int | None) -> int:
    """Returns how many bytes were written, after a look at the files.

    Raises:
        BenchmarkError: there is less than there should be.
    """
    if told is None:
        found = total_bytes(written_files(ready.path))
        if found < ready.model_bytes:
            raise BenchmarkError(f"{found:,} bytes were written of {ready.model_bytes:,}")
        return found
    files = files_under(ready.path) if ready.path.is_dir() else []
    # Where there are no files, a server has the model.
    if files and (found := total_bytes(files)) < told:
        raise BenchmarkError(f"{told:,} bytes should be written, but the folder holds {found:,}")
    return told


@functools.lru_cache(maxsize=1)
def _network(network: Network) -> tuple[Any, Any]:
    """Builds the model, or takes that of the task before; GPU and framework are set up with it."""
    from parsl_tl.architecture import ArchitectureGraph
    from parsl_tl.training.runtime import configure_threads

    configure_threads()
    model = build_network(network)
    return model, ArchitectureGraph.from_keras(model)


def _names(model: Any, graph: Any) -> list[str]:
    from parsl_tl.transfer.weights import layers_with_weights as by_stable_name

    return list(by_stable_name(model, graph))


def _change(layers: list[Any], case: WriteCase, number: int) -> None:
    """Gives layers other weights: random ones, which differ from case to case and process."""
    rng = np.random.default_rng([case.first_id, number])
    for layer in layers:
        for weight in layer.weights:
            # As large as trained ones, and no easier to compress for a disk that does so.
            values = rng.random(tuple(weight.shape), np.float32)
            weight.assign((values - np.float32(0.5)) * np.float32(0.1))


def _weight_bytes(model: Any) -> int:
    from parsl_tl.training.runtime import array_bytes

    return array_bytes(model.weights)
