"""How long saving and loading whole models takes, and whether every byte comes back."""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.core.file_cache import sync, total_bytes
from parsl_tl.benchmarks.core.networks import Network, Networks
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.file_format import (
    FileFormat,
    LayerArrays,
    compare,
    layer_arrays,
    layers_with_weights,
    written_files,
)
from parsl_tl.benchmarks.suites.network_tasks import check_network_room, prepare_network
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import reason_of

OK: Final = "ok"


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
    """Returns the settings, if they can be measured; see ``check_network_room``."""
    check_network_room(settings)
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
    grid = itertools.product(settings.networks.all, settings.formats or ())
    how = (settings.repeats, settings.sync, folder)
    calls = [(f"{one.label}, {name}", save_and_load, (one, name, *how)) for one, name in grid]
    rows: list[Row] = []
    results = run_each(settings.where, calls, progress)
    for (_, _, (network, name, *_)), result in zip(calls, results, strict=True):
        if isinstance(result, str):
            repeats = range(1, settings.repeats + 1)
            result = [{**_row(network, name, repeat), "status": result} for repeat in repeats]
        rows += result
    return {"save_load": rows}


def _row(network: Network, name: str, repeat: int, size: int | None = None) -> Row:
    """Returns the row of a repeat of which nothing is known yet."""
    columns = ("model", "savetime_sec", "loadtime_sec", "filesize_bytes")
    row: Row = {**dict.fromkeys(columns), "model": network.label, "status": OK}
    return {**row, "format": name, "repeat": repeat, "weight_bytes": size}


def save_and_load(
    network: Network, name: str, repeats: int, synced: bool, folder: Path | None
) -> list[Row]:
    """Saves and loads one network in one format; runs in a task.

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
    model = prepare_network(network)
    reference = layer_arrays(model)
    size = sum(array.nbytes for arrays in reference.values() for array in arrays)
    rows = [_row(network, name, repeat, size) for repeat in range(1, repeats + 1)]
    for row in rows:
        with tempfile.TemporaryDirectory(dir=folder, prefix="parsl-tl-save-") as place:
            try:
                _once(model, reference, FILE_FORMATS[name], Path(place), synced, row)
            except Exception as error:  # whatever a format makes of a full disk or a damaged file
                row["status"] = reason_of(error)
    return rows


def _once(
    model: Any, expected: LayerArrays, file_format: FileFormat, place: Path, synced: bool, row: Row
) -> None:
    path = place / f"model{file_format.suffix}"
    start = time.perf_counter()
    file_format.save(model, path)
    if synced:
        sync(place)
    row["savetime_sec"] = time.perf_counter() - start
    row["filesize_bytes"] = total_bytes(written_files(path))
    # What is loaded must not be what was there before.
    for weight in model.weights:
        weight.assign(weight * 0 - 1)
    try:
        start = time.perf_counter()
        loaded = file_format.load(model, path)
        row["loadtime_sec"] = time.perf_counter() - start
        compare(expected, layer_arrays(loaded))
    finally:
        for layer in layers_with_weights(model):
            layer.set_weights(expected[layer.name])


def _medians(frames: Frames) -> Any:
    """Returns medians over the repeats that went well, and what went wrong with others."""
    rows = frames["save_load"]
    columns = {"savetime_sec": "save, s", "loadtime_sec": "load, s"}
    columns |= {"filesize_bytes": "file, MB", "weight_bytes": "weights, MB"}
    rows = rows.rename(columns=columns).replace({"status": {OK: None}})
    titles = list(columns.values())
    table = rows[titles].astype(float).where(rows.status.isna())
    table[titles[2:]] /= 1e6
    groups = table.groupby([rows.model, rows.format], sort=False)
    bad = rows.status.groupby([rows.model, rows.format], sort=False).agg(["count", "size", "first"])
    told = bad.apply("{0[count]} of {0[size]} failed: {0[first]}".format, axis=1)
    return groups.median().assign(status=told.where(bad["count"] > 0, OK))


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns a title and a table."""
    return [("Whole models, medians", _medians(frames))]


def plots(frames: Frames) -> list[Plot]:
    """Returns a plot of the median seconds of saving and loading."""
    table = _medians(frames)[["save, s", "load, s"]].dropna()
    table.index = [f"{model}, {name}" for model, name in table.index]
    return [Plot("save_load", "", table, "seconds, median (less is better)", "barh")]


def failures(frames: Frames) -> list[str]:
    """Returns what went wrong."""
    return sorted(set(frames["save_load"].status) - {OK})


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
