"""Networks in files: saved and loaded whole, and read layer by layer, compared byte for byte.

Each network in each format is a task. What fails becomes a row with its reason; the run goes on.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pandas as pd

from parsl_tl.benchmarks.core import room
from parsl_tl.benchmarks.core.networks import Network, Networks, build_network, check_network_room
from parsl_tl.benchmarks.core.options import names_option, nested, option
from parsl_tl.benchmarks.core.room import temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.formats import FILE_FORMATS, LAYER_FORMATS, format_of
from parsl_tl.benchmarks.formats.file_format import (
    FileFormat,
    LayerArrays,
    compare,
    layer_arrays,
    written_files,
)
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import reason_of

OK: Final = "ok"
COLD, WARM = "cold", "warm"
EVERYTHING: Final = "everything"
# Pages that a file shares with its neighbours, or that are read ahead, may stay.
_COLD_SHARE: Final = 0.02
# The rows of what failed, unless more is known.
_SAVED: Final[Row] = {
    **dict.fromkeys(("model", "savetime_sec", "loadtime_sec", "filesize_bytes", "status")),
    **dict.fromkeys(("format", "repeat", "weight_bytes")),
}
_READ: Final[Row] = {
    **dict.fromkeys(("time_sec", "model", "format", "subset", "layers", "bytes", "cache")),
    **{"subset": EVERYTHING, "cache": COLD, "successful": False, "result": ""},
    **{"cached_share": None, "drop_method": None, "file_system": "unknown", "repeat": 1},
}


@dataclass(frozen=True)
class SaveSuite(Suite):
    """Networks x formats; formats of weights alone are loaded into a model that is there."""

    name = "save"
    label = "save and load"
    text = "saving and loading whole models in file formats"
    title = "Saving and loading whole models"
    small = ("--model", "dense:16x10")
    out = "runs/save"
    has_tasks = True

    formats: tuple[str, ...] | None = names_option(FILE_FORMATS, text="of {} (all)")
    repeats: int = option(3, "of each network and format", least=1)
    sync: bool = option(False, "saving ends with an fsync")
    folder: Path | None = option(None, "of the files (the system's temporary one)")
    networks: Networks = nested(Networks(("candle", "resnet")), "networks")
    where: Where = nested(Where(), "where it runs")

    def check(self) -> Self:
        """Refuses networks that can never work, or have no room."""
        check_network_room(self)
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``save_load``."""
        how = (self.repeats, self.sync, self.folder and self.folder.resolve())
        grid = list(itertools.product(self.networks.all, self.formats or ()))
        calls = [(f"{one.label}, {name}", save_and_load, (one, name, *how)) for one, name in grid]
        rows: list[Row] = []
        results = run_each(self.where, calls, progress)
        for (network, name), result in zip(grid, results, strict=True):
            if isinstance(result, str):
                known = {**_SAVED, "model": network.label, "format": name, "status": result}
                result = [{**known, "repeat": repeat + 1} for repeat in range(self.repeats)]
            rows += result
        return {"save_load": rows}

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns medians."""
        return [("Whole models, medians", _medians(frames))]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns medians of saving and loading."""
        table = _medians(frames)[["save, s", "load, s"]].dropna()
        table.index = [f"{model}, {name}" for model, name in table.index]
        return [Plot("save_load", "", table, "seconds, median (less is better)", "barh")]

    def failures(self, frames: Frames) -> list[str]:
        """Returns why files were not saved or loaded."""
        return list({*frames["save_load"].status} - {OK})


@dataclass(frozen=True)
class Subset:
    """Which layers are read: ``names``, or the first ``count``, or a ``share``, rounded up."""

    names: tuple[str, ...] = ()
    count: int | None = None
    share: float | None = None

    @property
    def label(self) -> str:
        """How results name it."""
        if self.names:
            return f"by name: {' '.join(self.names)}"
        if self.count is not None:
            return f"first {self.count}"
        return EVERYTHING if self.share in (None, 1.0) else f"first {self.share:.0%}"

    def of(self, layers: Sequence[str]) -> list[str]:
        """Returns the layers, in the model's order; refuses if there are not so many, or one."""
        if self.names:
            if missing := [name for name in self.names if name not in layers]:
                known = ", ".join(layers[:5]) + (" ..." if len(layers) > 5 else "")
                raise BenchmarkError(f"there is no layer {missing[0]!r}; there are {known}")
            return [name for name in layers if name in self.names]
        count = math.ceil((self.share or 1.0) * len(layers)) if self.count is None else self.count
        if count > len(layers):
            raise BenchmarkError(f"there are {len(layers)} layers with weights, not {count}")
        return list(layers[:count])


class Reads(NamedTuple):
    """Which subsets are read, how often, and whether all caches of the machine go before."""

    subsets: Sequence[Subset]
    repeats: int = 1
    system_wide: bool = False


@dataclass(frozen=True)
class LoadSuite(Suite):
    """Networks, or files, x formats x subsets of layers, cold and warm."""

    name = "load"
    label = "load"
    text = "reading some of a model's layers, from every format"
    title = "Reading some of the layers"
    small = ("--model", "dense:16x10")
    out = "runs/load"
    has_tasks = True

    files: tuple[Path, ...] = option(
        (), "read these, and no --model", metavar="FILE", may_be_empty=True
    )
    formats: tuple[str, ...] | None = names_option(LAYER_FORMATS, text="of {} (all)")
    layers: tuple[str, ...] = option((), "read these layers", may_be_empty=True)
    count: tuple[int, ...] = option((), "read the first N", least=1, may_be_empty=True)
    share: tuple[float, ...] = option(
        (), "read this share of them", above=0, most=1, may_be_empty=True
    )
    repeats: int = option(3, "of every read", least=1)
    drop_caches: bool = option(False, "drop all caches of the machine, where permitted")
    folder: Path | None = option(None, "of the files (the system's temporary one)")
    networks: Networks = nested(Networks(("dense:250x20", "resnet152")), "networks")
    where: Where = nested(Where(), "where it runs")

    def check(self) -> Self:
        """Refuses what has no room, or no format by its name; files are looked at later."""
        for path in self.files:
            format_of(path)
        if not self.files:
            check_network_room(self)
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``load_single``, everything included."""
        given = [Subset(names=self.layers)] if self.layers else []
        given += [Subset(count=count) for count in self.count]
        given += [Subset(share=share) for share in self.share]
        usual = [Subset(count=1), Subset(share=0.1), Subset(share=0.5)]
        reads = Reads([*(given or usual), Subset()], self.repeats, self.drop_caches)
        folder = self.folder and self.folder.resolve()
        steps: list[tuple[str, str, Any, tuple[Any, ...]]] = [
            (str(path), format_of(path), load_file_layers, (path.resolve(), reads))
            for path in self.files
        ] or [
            (network.label, name, load_network_layers, (network, name, folder, reads))
            for network in self.networks.all
            for name in self.formats or ()
        ]
        calls = [(f"{label}, {name}", *call) for label, name, *call in steps]
        rows: list[Row] = []
        for step, result in zip(steps, run_each(self.where, calls, progress), strict=True):
            failed = {**_READ, "model": step[0], "format": step[1], "result": result}
            rows += [failed] if isinstance(result, str) else result
        return {"load_single": rows}

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns medians of each model."""
        rows = frames["load_single"].astype({"time_sec": float, "bytes": float})
        return [
            (f"{model}: reading layers, medians", _table(own))
            for model, own in rows.groupby("model", sort=False)
        ]

    def remarks(self, frames: Frames) -> list[str]:
        """Says how pages were thrown out of memory, and whether they were really gone."""
        rows = frames["load_single"]
        cold = rows[(rows.cache == COLD) & rows.successful]
        told = []
        for (way, kind), own in cold.groupby(["drop_method", "file_system"], sort=False):
            known = own.cached_share.dropna()
            stayed = f"at most {max(known):.1%} of a model's pages stayed" if len(known) else ""
            stayed = stayed or "the system does not tell whether pages stayed"
            told.append(f"Cold reads from {kind}: {way}; {stayed} in memory (mincore)")
        return told

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns seconds over megabytes for each model: a line for each format, cold and warm."""
        rows = frames["load_single"]
        found = []
        for model, own in rows[rows.successful].groupby("model", sort=False):
            name = re.sub(r"[^\w.-]+", "-", Path(str(model)).name).strip("-")
            own = own.assign(MB=own.bytes.astype(float) / 1e6)
            frame = own.pivot_table("time_sec", "MB", ["format", "cache"], aggfunc="median")
            frame.columns = [", ".join(pair) for pair in frame.columns]
            label, across = "seconds, median, opening included", "MB of weights that are read"
            found.append(Plot(f"load-{name}", str(model), frame, label, "line", "xy", across, WARM))
        return found

    def failures(self, frames: Frames) -> list[str]:
        """Returns why layers were not read."""
        return list(frames["load_single"].query("not successful").result)


def save_and_load(
    network: Network, name: str, repeats: int, synced: bool, folder: Path | None
) -> list[Row]:
    """Saves and loads one network in one of ``FILE_FORMATS``, in a temporary folder."""
    model = build_network(network)
    expected = layer_arrays(model)
    size = sum(array.nbytes for arrays in expected.values() for array in arrays)
    known, rows = _SAVED | {"model": network.label, "format": name, "weight_bytes": size}, []
    for repeat in range(1, repeats + 1):
        row = {**known, "repeat": repeat, "status": OK}
        with temporary_folder(folder) as place:
            try:
                _save_once(model, expected, FILE_FORMATS[name], place, synced, row)
            except Exception as error:  # whatever a format makes of a full disk or a damaged file
                row["status"] = reason_of(error)
        rows.append(row)
    return rows


def _save_once(
    model: Any, expected: LayerArrays, file_format: FileFormat, place: Path, synced: bool, row: Row
) -> None:
    path = place / f"model{file_format.suffix}"
    start = time.perf_counter()
    file_format.save(model, path)
    if synced:
        room.sync(place)
    row["savetime_sec"] = time.perf_counter() - start
    row["filesize_bytes"] = room.total_bytes(written_files(path))
    # What is loaded must not be what was there before.
    for weight in model.weights:
        weight.assign(weight * 0 - 1)
    try:
        start = time.perf_counter()
        loaded = file_format.load(model, path)
        row["loadtime_sec"] = time.perf_counter() - start
        compare(expected, layer_arrays(loaded))
    finally:
        model.set_weights([array for arrays in expected.values() for array in arrays])


def load_network_layers(
    network: Network, name: str, folder: Path | None, reads: Reads
) -> list[Row]:
    """Writes a network in one of ``LAYER_FORMATS``, and reads subsets of its layers."""
    model, file_format = build_network(network), LAYER_FORMATS[name]
    with temporary_folder(folder) as place:
        path = place / f"model{file_format.suffix}"
        file_format.save(model, path)
        room.sync(place)
        keys = file_format.keys(model)
        return _read_subsets(network.label, name, path, layer_arrays(model), keys, reads)


def load_file_layers(path: Path, reads: Reads) -> list[Row]:
    """Reads subsets of the layers of a file that is there.

    Of a TensorFlow checkpoint ``path`` is the name without ``.index``. Layers have the names they
    have in the file, which for Keras weights are in alphabetical order.

    Raises:
        BenchmarkError: the file is missing, or of no known format.
        Exception: as the format has it, if the file is damaged.
    """
    name = format_of(path)
    path = path.with_name(path.name.removesuffix(".index"))
    if not [file for file in written_files(path) if file.exists()]:
        raise BenchmarkError(f"{path} is missing")
    expected = LAYER_FORMATS[name].read(path, None, {})
    return _read_subsets(str(path), name, path, expected, {}, reads)


def _read_subsets(
    model: str,
    name: str,
    path: Path,
    expected: LayerArrays,
    keys: Mapping[str, str],
    reads: Reads,
) -> list[Row]:
    read = partial(LAYER_FORMATS[name].read, path, keys=keys)
    known = _READ | {"model": model, "format": name, "file_system": room.file_system(path)}
    rows, repeats = [], range(1, reads.repeats + 1)
    for repeat, subset, cache in itertools.product(repeats, reads.subsets, (COLD, WARM)):
        row = {**known, "subset": subset.label, "cache": cache, "repeat": repeat}
        try:
            wanted = {name: expected[name] for name in subset.of(list(expected))}
            if repeat == 1 and cache == COLD:
                read(list(wanted))  # libraries are loaded
            files = written_files(path)
            if cache == COLD:
                row["drop_method"] = room.drop_from_cache(files, reads.system_wide)
            _read(files, read, wanted, row)
        except Exception as error:  # whatever a format makes of a damaged file
            row["result"] = reason_of(error)
        rows.append(row)
    return rows


def _read(
    files: Sequence[Path], read: Callable[[Any], LayerArrays], wanted: LayerArrays, row: Row
) -> None:
    try:
        share = room.cached_share(files)
    except OSError:  # a system that does not tell
        share = None
    start = time.perf_counter()
    arrays = read(list(wanted))
    seconds = time.perf_counter() - start
    compare(wanted, arrays)
    result = OK
    if row["drop_method"] and share is None:
        result = "ok, but nothing tells whether the pages left memory"
    elif row["drop_method"] and share is not None and share > _COLD_SHARE:
        result = f"ok, but {share:.0%} of the pages stayed in memory ({row['file_system']})"
    num_bytes = sum(array.nbytes for own in arrays.values() for array in own)
    row |= {"time_sec": seconds, "layers": len(wanted), "bytes": num_bytes, "successful": True}
    row |= {"result": result, "cached_share": share}


def _medians(frames: Frames) -> Any:
    """Returns medians over the repeats that went well, and how many did not."""
    names = {"savetime_sec": "save, s", "loadtime_sec": "load, s"}
    names |= {"filesize_bytes": "file, MB", "weight_bytes": "weights, MB"}
    rows, titles = frames["save_load"].rename(columns=names), list(names.values())
    table = rows[titles].astype(float).where(rows.status == OK)
    table[titles[2:]] /= 1e6
    keys = [rows.model, rows.format]
    failed = (rows.status != OK).groupby(keys, sort=False).sum()
    return table.groupby(keys, sort=False).median().assign(failed=failed)


def _table(rows: Any) -> Any:
    keys = ["format", "subset"]
    groups = rows.groupby(keys, sort=False)
    times = rows.pivot_table("time_sec", keys, "cache", aggfunc="median", sort=False)
    times = times.reindex(index=groups.size().index, columns=[COLD, WARM])
    whole = times.xs(EVERYTHING, level="subset").reindex(times.index.get_level_values("format"))
    shares = (times / whole.to_numpy()).map("{:.1%}".format, na_action="ignore")
    # What went wrong counts for more than what is only to be noted.
    notes = rows[rows.result != OK].sort_values("successful", kind="stable")
    notes = notes.groupby(keys).result.first().reindex(times.index).fillna(OK)
    columns = {"MB": groups.bytes.first() / 1e6, "cold, s": times[COLD], "warm, s": times[WARM]}
    columns |= {"share of everything, cold": shares[COLD], "warm": shares[WARM], "result": notes}
    return pd.DataFrame(columns)
