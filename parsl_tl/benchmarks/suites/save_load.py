"""How long saving and loading whole models takes, and whether every byte comes back."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.core.file_cache import sync, total_bytes
from parsl_tl.benchmarks.core.networks import Network, Networks, build_network
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.room import check_room
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.file_format import (
    LayerArrays,
    compare,
    layer_arrays,
    layers_with_weights,
    written_files,
)
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import reason_of

OK: Final = "ok"
_ROOM: Final = 1.2
# The model, a copy to compare with, the loaded model, and what loading takes for a moment.
_COPIES: Final = 4


@dataclass(frozen=True)
class SaveLoadSettings:
    """What is measured; formats of weights alone are loaded into a model that is there."""

    formats: tuple[str, ...] | None = option(
        None, f"of {', '.join(FILE_FORMATS)} (all)", choices=tuple(FILE_FORMATS)
    )
    repeats: int = option(3, "of each network and format", least=1)
    sync: bool = option(False, "saving ends with an fsync")
    folder: Path | None = option(None, "of the files (the system's temporary one)")
    networks: Networks = nested(Networks(("candle", "resnet")), "networks")
    where: Where = nested(Where(), "where it runs")


def check(settings: SaveLoadSettings) -> SaveLoadSettings:
    """Returns the settings, if they can be measured.

    Raises:
        InvalidValueError: a network that can never work.
        BenchmarkError: the folder is missing, or it or the memory has not enough room.
    """
    largest = settings.networks.check()
    if settings.where.config is None:
        advice = "a smaller --model or --scale"
        check_room(settings.folder, largest * _ROOM, largest * _COPIES, advice)
    return settings


def measure(settings: SaveLoadSettings, progress: Progress = silent) -> Tables:
    """Measures everything; what fails becomes a row with its reason.

    Returns:
        ``save_load``: ``model``, ``savetime_sec`` (None if it was not saved), ``loadtime_sec``
        (from a file that was written just before, so the page cache has it), ``filesize_bytes``
        (of all files of the model), ``status`` (``ok``: every weight came back byte for byte; or
        what went wrong), ``format``, ``repeat`` (from 1), ``weight_bytes``.
    """
    folder = None if settings.folder is None else settings.folder.resolve()
    steps = [(one, name) for one in settings.networks.all for name in settings.formats or ()]
    calls = [
        (
            f"{one.label}, {name}",
            save_and_load,
            (one, name, settings.repeats, settings.sync, folder),
        )
        for one, name in steps
    ]
    rows: list[Row] = []
    results = run_each(settings.where, calls, progress)
    for (network, name), result in zip(steps, results, strict=True):
        if isinstance(result, str):
            repeats = range(1, settings.repeats + 1)
            result = [_row(network, name, repeat, _Times(), result, None) for repeat in repeats]
        rows += result
    return {"save_load": rows}


def _row(
    network: Network, name: str, repeat: int, times: _Times, status: str, size: int | None
) -> Row:
    return {
        "model": network.label,
        "savetime_sec": times.save,
        "loadtime_sec": times.load,
        "filesize_bytes": times.num_bytes,
        "status": status,
        "format": name,
        "repeat": repeat,
        "weight_bytes": size,
    }


@dataclass
class _Times:
    save: float | None = None
    load: float | None = None
    num_bytes: int | None = None


def save_and_load(
    network: Network, name: str, repeats: int, synced: bool, folder: Path | None
) -> list[Row]:
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
    size = sum(array.nbytes for arrays in reference.values() for array in arrays)
    rows = []
    for repeat in range(1, repeats + 1):
        times, status = _Times(), OK
        with tempfile.TemporaryDirectory(dir=folder, prefix="parsl-tl-save-") as place:
            try:
                _once(model, reference, name, Path(place), synced, times)
            except Exception as error:  # whatever a format makes of a full disk or a damaged file
                status = reason_of(error)
        rows.append(_row(network, name, repeat, times, status, size))
    return rows


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


def _medians(frames: Frames) -> Any:
    """Returns medians over the repeats that went well, and what went wrong with others."""
    rows = frames["save_load"]
    keys = ["model", "format"]
    every, good = (own.groupby(keys, sort=False) for own in (rows, rows[rows.status == OK]))
    columns = {"savetime_sec": ("save, s", 1.0), "loadtime_sec": ("load, s", 1.0)}
    columns |= {"filesize_bytes": ("file, MB", 1e6), "weight_bytes": ("weights, MB", 1e6)}
    table = good[list(columns)].median().reindex(every.size().index)
    for column, (title, unit) in columns.items():
        table[title] = table.pop(column) / unit
    bad = rows[rows.status != OK].groupby(keys).status.agg(["size", "first"])
    told = {
        key: f"{count} of {every.size()[key]} failed: {reason}"
        for key, count, reason in bad.itertuples()
    }
    table["status"] = [told.get(key, OK) for key in table.index]
    return table


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns a title and a table."""
    return [("Whole models, medians", _medians(frames))]


def plots(frames: Frames) -> list[Plot]:
    """Returns a plot of the median seconds of saving and loading."""
    table = _medians(frames)[["save, s", "load, s"]].dropna()
    table.index = [f"{model}, {name}" for model, name in table.index]
    label = "seconds, median (less is better)"
    return [Plot("save_load", "", table, label, "barh")]


def failures(frames: Frames) -> list[str]:
    """Returns what went wrong."""
    rows = frames["save_load"]
    return sorted(set(rows.status[rows.status != OK]))


SUITE: Final = Suite(
    name="save",
    label="save and load",
    text="saving and loading whole models in file formats",
    title="Saving and loading whole models",
    small=("--model", "dense:16x10"),
    default=SaveLoadSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    failures=failures,
    out="runs/save",
)
