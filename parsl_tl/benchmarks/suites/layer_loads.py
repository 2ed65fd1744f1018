"""How long reading a subset of a model's layers takes, from every format and from the store."""

from __future__ import annotations

import itertools
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from parsl_tl.benchmarks.core.file_cache import cached_share, drop_from_cache, file_system, sync
from parsl_tl.benchmarks.core.networks import Network, Networks
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.formats import LAYER_FORMATS, format_of
from parsl_tl.benchmarks.formats.file_format import (
    LayerArrays,
    compare,
    layer_arrays,
    written_files,
)
from parsl_tl.benchmarks.suites.network_tasks import check_network_room, prepare_network
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import reason_of

COLD: Final = "cold"
WARM: Final = "warm"
EVERYTHING: Final = "everything"
# Pages that a file shares with its neighbours, or that are read ahead, may stay.
_COLD_SHARE: Final = 0.02


@dataclass(frozen=True)
class Subset:
    """Which layers are read.

    Attributes:
        names: these; no other attribute counts then.
        count: the first so many of the model's layers with weights.
        share: the first layers, this share of their number, rounded up; above 0, up to 1.
    """

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
        """Returns the layers, in the model's order.

        Raises:
            BenchmarkError: there is no such layer, or there are fewer.
        """
        if self.names:
            missing = [name for name in self.names if name not in layers]
            if missing:
                known = ", ".join(layers[:5]) + (" ..." if len(layers) > 5 else "")
                raise BenchmarkError(f"there is no layer {missing[0]!r}; there are {known}")
            return [name for name in layers if name in self.names]
        count = math.ceil((self.share or 1.0) * len(layers)) if self.count is None else self.count
        if count > len(layers):
            raise BenchmarkError(f"there are {len(layers)} layers with weights, not {count}")
        return list(layers[:count])


@dataclass(frozen=True)
class LoadSettings:
    """What is measured."""

    files: tuple[Path, ...] = option(
        (), "read these, and no --model", metavar="FILE", may_be_empty=True
    )
    formats: tuple[str, ...] | None = option(
        None, f"of {', '.join(LAYER_FORMATS)} (all)", choices=tuple(LAYER_FORMATS)
    )
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

    @property
    def subsets(self) -> tuple[Subset, ...]:
        """Which layers are read, beside everything."""
        given = [Subset(names=self.layers)] if self.layers else []
        given += [Subset(count=count) for count in self.count]
        given += [Subset(share=share) for share in self.share]
        return tuple(given) or (Subset(count=1), Subset(share=0.1), Subset(share=0.5))


def check(settings: LoadSettings) -> LoadSettings:
    """Returns the settings, if they can be measured; files are looked at later.

    Raises:
        InvalidValueError: a network that can never work.
        BenchmarkError: a file's name tells no format; or see ``check_network_room``.
    """
    for path in settings.files:
        format_of(path)
    if not settings.files:
        check_network_room(settings)
    return settings


def measure(settings: LoadSettings, progress: Progress = silent) -> Tables:
    """Measures everything; what fails becomes a row with its reason.

    Returns:
        ``load_single``: ``time_sec`` (until the arrays are in memory of their own, opening
        included; None if it failed), ``model`` (name of the network, or the file), ``format``,
        ``subset``, ``layers`` (how many), ``bytes`` of their weights, ``cache`` (``cold``: the
        files' pages were thrown out before; ``warm``: just read before), ``successful`` (all
        layers came, byte for byte), ``result`` (``ok``, or why not; and whether pages stayed in
        memory that should not have), ``cached_share`` (of the files' pages that was in memory
        before the read, from 0 to 1; None where the system does not tell), ``drop_method`` (how
        pages were thrown out: ``posix_fadvise`` or ``drop_caches``), ``file_system``, ``repeat``.
    """
    how = (settings.subsets, settings.repeats, settings.drop_caches)
    folder = None if settings.folder is None else settings.folder.resolve()
    steps: list[tuple[str, str, Any, tuple[Any, ...]]] = [
        (str(path), format_of(path), load_file_layers, (path.resolve(), *how))
        for path in settings.files
    ] or [
        (network.label, name, load_network_layers, (network, name, *how, folder))
        for network in settings.networks.all
        for name in settings.formats or ()
    ]
    calls = [(f"{label}, {name}", *call) for label, name, *call in steps]
    rows: list[Row] = []
    for step, result in zip(steps, run_each(settings.where, calls, progress), strict=True):
        failed = isinstance(result, str)
        rows += [load_row(step[0], step[1], Subset(), COLD, 1, result=result)] if failed else result
    return {"load_single": rows}


def load_row(model: str, name: str, subset: Subset, cache: str, repeat: int, **known: Any) -> Row:
    """Returns the row of a read: of one that failed, unless it is known otherwise."""
    row: Row = dict.fromkeys(("time_sec", "model", "format", "subset", "layers", "bytes", "cache"))
    row |= {"successful": False, "result": "", "cached_share": None, "drop_method": None}
    row |= {"file_system": "unknown", "repeat": repeat, "cache": cache}
    return {**row, "model": model, "format": name, "subset": subset.label, **known}


def load_network_layers(
    network: Network,
    name: str,
    subsets: Sequence[Subset],
    repeats: int,
    system_wide: bool,
    folder: Path | None,
) -> list[Row]:
    """Writes a network in one format, and reads subsets of its layers; runs in a task.

    Args:
        network: what is written.
        name: of ``LAYER_FORMATS``.
        subsets: what is read; everything is read in any case.
        repeats: how often.
        system_wide: throw out all caches of the machine before a cold read, if this user may.
        folder: where a temporary folder is made; the system's if None.

    Raises:
        BenchmarkError: the network cannot be built.
        OSError: it cannot be written.
        StoreError: the store cannot be written.
    """
    model, file_format = prepare_network(network), LAYER_FORMATS[name]
    with tempfile.TemporaryDirectory(dir=folder, prefix="parsl-tl-load-") as place:
        path = Path(place) / f"model{file_format.suffix}"
        file_format.save(model, path)
        sync(Path(place))
        read = partial(file_format.read, path, keys=file_format.keys(model))
        row = load_row(network.label, name, Subset(), COLD, 1, file_system=file_system(path))
        subsets = [*subsets, Subset()]
        return list(
            _read_subsets(row, path, read, layer_arrays(model), subsets, repeats, system_wide)
        )


def load_file_layers(
    path: Path, subsets: Sequence[Subset], repeats: int, system_wide: bool
) -> list[Row]:
    """Reads subsets of the layers of a file that is there; runs in a task.

    Args:
        path: of a format that its suffix tells; of a TensorFlow checkpoint the name without
            ``.index``. Layers have the names they have in the file, which for Keras weights are
            in alphabetical order.
        subsets: see ``load_network_layers``, as for the others.
        repeats: how often.
        system_wide: whether all caches go.

    Raises:
        BenchmarkError: the file is missing, or of no known format.
        Exception: as the format has it, if the file is damaged.
    """
    name = format_of(path)
    path = path.with_name(path.name.removesuffix(".index"))
    if not [file for file in written_files(path) if file.exists()]:
        raise BenchmarkError(f"{path} is missing")
    read = partial(LAYER_FORMATS[name].read, path, keys={})
    row = load_row(str(path), name, Subset(), COLD, 1, file_system=file_system(path))
    subsets = [*subsets, Subset()]
    return list(_read_subsets(row, path, read, read(None), subsets, repeats, system_wide))


def _read_subsets(
    row: Row,
    path: Path,
    read: Callable[[Any], LayerArrays],
    expected: LayerArrays,
    subsets: Sequence[Subset],
    repeats: int,
    system_wide: bool,
) -> Iterator[Row]:
    grid = itertools.product(range(1, repeats + 1), subsets, (COLD, WARM))
    for repeat, subset, cache in grid:
        known = {**row, "subset": subset.label, "cache": cache, "repeat": repeat}
        try:
            wanted = {name: expected[name] for name in subset.of(list(expected))}
            if repeat == 1 and cache == COLD:
                read(list(wanted))  # libraries are loaded
            yield known | _read(path, read, wanted, cache == COLD, system_wide)
        except Exception as error:  # whatever a format makes of a damaged file
            yield known | {"result": reason_of(error)}


def _read(
    path: Path,
    read: Callable[[Any], LayerArrays],
    wanted: LayerArrays,
    is_cold: bool,
    system_wide: bool,
) -> Row:
    files, names = written_files(path), list(wanted)
    way = drop_from_cache(files, system_wide) if is_cold else None
    try:
        share = cached_share(files)
    except OSError:  # a system that does not tell
        share = None
    start = time.perf_counter()
    arrays = read(names)
    seconds = time.perf_counter() - start
    compare(wanted, arrays)
    result = "ok"
    if is_cold and share is None:
        result = "ok, but nothing tells whether the pages left memory"
    elif is_cold and share is not None and share > _COLD_SHARE:
        result = f"ok, but {share:.0%} of the pages stayed in memory ({file_system(path)})"
    num_bytes = sum(array.nbytes for own in arrays.values() for array in own)
    row: Row = {"time_sec": seconds, "layers": len(names), "bytes": num_bytes, "successful": True}
    return {**row, "result": result, "cached_share": share, "drop_method": way}


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns medians over the repeats: a title and a table for each model."""
    rows = frames["load_single"].astype({"time_sec": float, "bytes": float})
    return [
        (f"{model}: reading layers, medians", _table(own))
        for model, own in rows.groupby("model", sort=False)
    ]


def _table(rows: Any) -> Any:
    keys = ["format", "subset"]
    groups = rows.groupby(keys, sort=False)
    times = rows.pivot_table("time_sec", keys, "cache", aggfunc="median", sort=False)
    times = times.reindex(index=groups.size().index, columns=[COLD, WARM])
    whole = times.xs(EVERYTHING, level="subset").reindex(times.index.get_level_values("format"))
    shares = (times / whole.to_numpy()).map("{:.1%}".format, na_action="ignore")
    # What went wrong counts for more than what is only to be noted.
    notes = rows[rows.result != "ok"].sort_values("successful", kind="stable")
    notes = notes.groupby(keys).result.first().reindex(times.index).fillna("ok")
    columns = {"MB": groups.bytes.first() / 1e6, "cold, s": times[COLD], "warm, s": times[WARM]}
    columns |= {"share of everything, cold": shares[COLD], "warm": shares[WARM], "result": notes}
    return pd.DataFrame(columns)


def remarks(frames: Frames) -> list[str]:
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


def plots(frames: Frames) -> list[Plot]:
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


def failures(frames: Frames) -> list[str]:
    """Returns what went wrong."""
    rows = frames["load_single"]
    return sorted(set(rows.result[~rows.successful]))


SUITE: Final = Suite(
    name="load",
    label="load",
    text="reading some of a model's layers, from every format",
    title="Reading some of the layers",
    small=("--model", "dense:16x10"),
    default=LoadSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    remarks=remarks,
    failures=failures,
    out="runs/load",
)
