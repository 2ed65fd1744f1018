"""How long saving and loading whole models takes, and whether every byte comes back."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from parsl_tl.benchmarks.core.file_cache import sync, total_bytes
from parsl_tl.benchmarks.core.networks import (
    Network,
    build_network,
    check_network,
    network_bytes,
)
from parsl_tl.benchmarks.core.task_runner import Where, check_where, task_runner
from parsl_tl.benchmarks.formats.files import (
    FILE_FORMATS,
    LayerArrays,
    layer_arrays,
    layers_with_weights,
    written_files,
)
from parsl_tl.errors import BenchmarkError, InvalidValueError
from parsl_tl.task_process import reason_of

Progress = Callable[[float, str], None]
OK: Final = "ok"
_ROOM: Final = 1.2
# The model, a copy to compare with, the loaded model, and what loading takes for a moment.
_COPIES: Final = 4


@dataclass(frozen=True)
class SaveLoadSettings:
    """What is measured.

    Attributes:
        networks: what is saved.
        formats: of ``FILE_FORMATS``; those of weights alone are loaded into a model that is there.
        repeats: of each network and format.
        synced: the time of saving ends when the file is on the disk (fsync).
        folder: where files go; they are removed.
        where: the tasks run.
    """

    networks: tuple[Network, ...] = (Network(scale=0.5), Network("resnet152"))
    formats: tuple[str, ...] = tuple(FILE_FORMATS)
    repeats: int = 3
    synced: bool = False
    folder: Path | None = None
    where: Where = field(default_factory=Where)


class SaveLoadRow(NamedTuple):
    """One save and load.

    Attributes:
        model: name of the network.
        savetime_sec: None if it was not saved.
        loadtime_sec: from a file that was written just before, so the page cache has it; None if
            it was not loaded.
        filesize_bytes: of all files of the model; None if there are none.
        status: ``ok``: every weight came back byte for byte; or what went wrong.
        format: see ``SaveLoadSettings``.
        repeat: from 1.
        weight_bytes: of the weights.
    """

    model: str
    savetime_sec: float | None
    loadtime_sec: float | None
    filesize_bytes: int | None
    status: str
    format: str
    repeat: int
    weight_bytes: int | None


def check(settings: SaveLoadSettings) -> SaveLoadSettings:
    """Returns the settings, if they can be measured.

    Raises:
        InvalidValueError: a number or a name that can never work.
        BenchmarkError: the folder is missing, or it or the memory has not enough room.
    """
    if settings.repeats < 1:
        raise InvalidValueError(f"repeats={settings.repeats} must be at least 1")
    for network in settings.networks:
        check_network(network)
    for name in settings.formats:
        if name not in FILE_FORMATS:
            raise InvalidValueError(
                f"unknown format {name!r}; choose from {', '.join(FILE_FORMATS)}"
            )
    check_where(settings.where)
    if settings.where.config is None:
        largest = max(network_bytes(network) for network in settings.networks)
        check_room(settings.folder, int(largest * _ROOM), largest * _COPIES)
    return settings


def check_room(folder: Path | None, on_disk: int, in_memory: int) -> None:
    """Checks that this machine has the room that a benchmark needs.

    Args:
        folder: for files; the system's temporary one if None.
        on_disk: bytes of files.
        in_memory: bytes of memory.

    Raises:
        BenchmarkError: it has not.
    """
    folder = folder or Path(tempfile.gettempdir())
    if not folder.is_dir():
        raise BenchmarkError(f"{folder} is no folder; name another one with --folder")
    if shutil.disk_usage(folder).free < on_disk:
        raise BenchmarkError(
            f"{folder} has not the {on_disk / 1e9:.1f} GB that a model takes; name another "
            "--folder, or a smaller --model or --scale"
        )
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if in_memory > available:
        raise BenchmarkError(
            f"about {in_memory / 1e9:.1f} GB of memory are needed, of which there are "
            f"{available / 1e9:.1f}; choose a smaller --model or --scale"
        )


def run_save_load_bench(settings: SaveLoadSettings, progress: Progress) -> list[SaveLoadRow]:
    """Measures everything; what fails becomes a row with its reason.

    Args:
        settings: see ``check``.
        progress: called before each step.

    Raises:
        ConfigError: the executor configuration cannot be loaded.
    """
    rows: list[SaveLoadRow] = []
    steps = list(itertools.product(settings.networks, settings.formats))
    with task_runner(settings.where) as runner:
        for index, (network, name) in enumerate(steps):
            progress(index / len(steps), f"{network.label}, {name}")
            folder = None if settings.folder is None else settings.folder.resolve()
            arguments = (network, name, settings.repeats, settings.synced, folder)
            try:
                rows += runner.submit(save_and_load, *arguments).result()
            except Exception as error:  # whatever a task, or Parsl, comes up with
                reason = reason_of(error)
                rows += [
                    SaveLoadRow(network.label, None, None, None, reason, name, repeat, None)
                    for repeat in range(1, settings.repeats + 1)
                ]
    progress(1.0, "done")
    return rows


def save_and_load(
    network: Network, name: str, repeats: int, synced: bool, folder: Path | None
) -> list[SaveLoadRow]:
    """Saves and loads one network in one format, so many times; runs in a task.

    Args:
        network: what is saved.
        name: of ``FILE_FORMATS``.
        repeats: how often.
        synced: sync before the time of saving ends.
        folder: where a temporary folder is made; the system's if None.

    Raises:
        BenchmarkError: the network cannot be built.
        OSError: the temporary folder cannot be made.
    """
    from parsl_tl.training.runtime import configure_threads

    configure_threads()
    model = build_network(network)
    reference = layer_arrays(model)
    rows = []
    for repeat in range(1, repeats + 1):
        with tempfile.TemporaryDirectory(dir=folder, prefix="parsl-tl-save-") as place:
            times = _Times()
            try:
                _once(model, reference, name, Path(place), synced, times)
                status = OK
            except Exception as error:  # whatever a format makes of a full disk or a damaged file
                status = reason_of(error)
        rows.append(
            SaveLoadRow(
                network.label,
                times.save,
                times.load,
                times.num_bytes,
                status,
                name,
                repeat,
                sum(array.nbytes for arrays in reference.values() for array in arrays),
            )
        )
    return rows


@dataclass
class _Times:
    save: float | None = None
    load: float | None = None
    num_bytes: int | None = None


def _once(
    model: Any, reference: LayerArrays, name: str, place: Path, synced: bool, times: _Times
) -> None:
    file_format = FILE_FORMATS[name]
    path = place / f"model{file_format.suffix}"
    start = time.perf_counter()
    file_format.save(model, path)
    if synced:
        sync(place)
    times.save = time.perf_counter() - start
    times.num_bytes = total_bytes(written_files(path))
    # What is loaded must not be what was there before.
    for layer in layers_with_weights(model):
        for weight in layer.weights:
            weight.assign(weight * 0 - 1)
    try:
        start = time.perf_counter()
        loaded = file_format.load(model, path)
        times.load = time.perf_counter() - start
        compare(reference, layer_arrays(loaded))
    finally:
        for layer in layers_with_weights(model):
            layer.set_weights(reference[layer.name])


def compare(expected: LayerArrays, found: LayerArrays) -> None:
    """Compares weights byte for byte.

    Raises:
        BenchmarkError: a layer is missing or too many, or an array differs.
    """
    if expected.keys() != found.keys():
        differing = sorted(expected.keys() ^ found.keys())
        raise BenchmarkError(f"other layers came back: {', '.join(differing[:5])}")
    for name, arrays in expected.items():
        kinds = [(array.shape, array.dtype) for array in arrays]
        if kinds != [(array.shape, array.dtype) for array in found[name]]:
            raise BenchmarkError(f"layer {name} came back with other shapes or dtypes")
        for number, (one, other) in enumerate(zip(arrays, found[name], strict=True)):
            if not same_bytes(one, other):
                raise BenchmarkError(f"weight {number} of layer {name} came back with other bytes")


def same_bytes(one: Any, other: Any) -> bool:
    """Tells whether two contiguous arrays of one shape and dtype have the same bytes."""
    import numpy as np

    left, right = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (one, other))
    return bool(np.array_equal(left, right))
