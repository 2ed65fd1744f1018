"""How fast a store writes and reads models, beside files, HDF5, safetensors and Redis.

All formats write and read the same arrays in the same run. What is read was written before, so it
comes from memory (the page cache) for every format, and no format waits for the disk: that is what
``durability="os"`` promises. Where models are large beside the memory, the kernel holds up writers
to a disk nevertheless; ``seconds_min`` tells what it takes when it does not. With several
processes, what takes less than a millisecond is mostly the time in which the last of them wakes up.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from parsl_tl.benchmarks.core.options import option
from parsl_tl.benchmarks.core.processes import Processes
from parsl_tl.benchmarks.core.redis_server import RedisServer
from parsl_tl.benchmarks.core.room import check_room, folder_kind, temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.formats import measured_by, missing_methods
from parsl_tl.benchmarks.formats.bench_model import MB, PARTS
from parsl_tl.benchmarks.formats.operation import READ, WRITE, Case
from parsl_tl.benchmarks.suites.bandwidth import (
    BandwidthWorker,
    Measured,
    cells,
    measure_case,
    ratio,
    times_of,
)
from parsl_tl.benchmarks.suites.storage import measure_storage, storage_table
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.frame_plots import Plot

METHODS: Final = measured_by("store")
_PARTS: Final = {"whole": "whole models", "tenth": "a tenth of the layers"}
_BASELINES: Final = {WRITE: "plain", READ: "memcpy"}
# What of the store stands beside the other formats, by what `how` says.
_SHOWN: Final = {
    "put, checksums on": "store",
    "put, checksums off": "unchecked",
    "into, repeat, checksums on": "store",
    "into, first, checksums on": "first",
}
_NOTES: Final = {
    WRITE: "plain files\nstore: put with checksums; unchecked: without",
    READ: "memcpy\nstore: into arrays, once more; first: after opening, verified",
}


@dataclass(frozen=True)
class StoreSettings:
    """What is measured."""

    sizes: tuple[float, ...] = option(
        (1.0, 16.0, 64.0, 256.0), "millions of bytes per model", metavar="MB", above=0, most=1e6
    )
    layers: tuple[int, ...] = option((20,), "dense layers per model", least=1, most=1e6)
    processes: tuple[int, ...] = option((1, 4), "that write and read at once", least=1, most=1e6)
    folders: tuple[Path, ...] = option(
        (Path("/dev/shm"), Path()),
        "where temporary folders go, at most one on tmpfs and one on a disk",
    )
    methods: tuple[str, ...] | None = option(
        None,
        f"of {', '.join(METHODS)} (all that are installed)",
        choices=METHODS,
        missing=lambda _: missing_methods("store"),
    )
    seed: int = option(0, "of weights and order", least=0)
    min_rounds: int = 5
    max_rounds: int = 31
    case_seconds: float = 4.0
    storage: tuple[int, ...] = (1, 2)  # widths of the models of a search, times the usual ones
    storage_models: int = 1000

    PRESETS: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
        "quick": (
            "small models only, half a minute",
            {"sizes": (1.0, 16.0), "processes": (1,), "max_rounds": 11, "case_seconds": 0.5}
            | {"storage": (1,), "storage_models": 200},
        ),
        "full": ("all sizes with all numbers of layers", {"layers": (5, 20, 50, 200)}),
    }


def check(settings: StoreSettings) -> StoreSettings:
    """Returns settings that can be measured here.

    Raises:
        BenchmarkError: two folders of one kind, or not enough room for the largest models.
    """
    kinds = [folder_kind(folder, "--folders") for folder in settings.folders]
    if len(set(kinds)) < len(kinds):
        raise BenchmarkError(
            f"folders {', '.join(map(str, settings.folders))} are on {', '.join(kinds)}; "
            "name one on tmpfs, one on a disk, or both"
        )
    moved = max(settings.sizes) * MB * max(settings.processes)
    for folder in settings.folders:
        # Each process keeps a model per method to read, two for the store, and one that it writes;
        # in memory arrays to write, to read into, in Keras, and what a library needs besides.
        kept = moved * (len(settings.methods or ()) + 2)
        check_room(folder, kept, moved * 5, "smaller --sizes, fewer --processes", "--folders")
    return settings


def measure(settings: StoreSettings, progress: Progress = silent) -> Tables:
    """Measures everything; leaves no folder, process or server behind, whatever happens.

    Args:
        settings: what to measure; checked.
        progress: called before each case.

    Returns:
        ``store``: a row per case and operation: ``folder_kind``, ``method``, ``operation`` (write,
        read), ``part`` (whole, tenth), ``how``, ``model_mb``, ``layers``, ``processes``, ``bytes``
        (that all processes move together), ``seconds_median`` and ``seconds_min`` (from the common
        start to the last end), ``gb_per_s`` (1e9 bytes, of the median), ``ratio_to_baseline`` (how
        many times as fast as plain files for writes, as memcpy for reads; by the medians),
        ``repeats``. ``storage``: see ``measure_storage``.

    Raises:
        BenchmarkError: a process or server failed; a format gave back other bytes than were
            written.
    """
    methods = settings.methods or ()
    grid = (settings.sizes, settings.layers, settings.processes, settings.folders)
    cases = list(itertools.product(*grid))
    # A round's time grows with the bytes, and each case has a part that does not.
    weights = [size * processes + 30 for size, _, processes, _ in cases]
    whole = sum(weights) * 1.1
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        roots = {f: stack.enter_context(temporary_folder(f)) for f in settings.folders}
        redis = stack.enter_context(RedisServer()) if "redis" in methods else None
        workers = stack.enter_context(Processes(BandwidthWorker, settings.processes))
        for number, (size, layers, processes, folder) in enumerate(cases):
            kind, many = folder_kind(folder), f"{processes} process{'es' * (processes > 1)}"
            text = f"{size:g} MB, {layers} layers, {many}, {kind}"
            progress(sum(weights[:number]) / whole, text)
            own = roots[folder] / str(number)
            own.mkdir()
            socket = redis.socket if redis is not None else None
            case = Case(own, size, layers, processes, methods, settings.seed, socket)
            rows += _rows(kind, case, measure_case(workers, case, settings))
            shutil.rmtree(own)
    storage = []
    for factor in settings.storage:
        units = f"{16 * factor} to {96 * factor} units"
        progress(sum(weights) / whole, f"{settings.storage_models:,} evolved models, {units}")
        with temporary_folder(settings.folders[0]) as own:
            storage.append(measure_storage(own, settings.storage_models, settings.seed, factor))
    progress(1.0, "done")
    return {"store": rows, "storage": storage}


def _rows(kind: str, case: Case, found: Sequence[Measured]) -> list[Row]:
    rows: list[Row] = []
    for one in found:
        times = times_of(one)
        shape = {"model_mb": case.model_mb, "layers": case.layers, "processes": case.processes}
        row = {"folder_kind": kind, **one.names, **shape, "bytes": one.num_bytes, **times}
        row["gb_per_s"] = one.num_bytes / times["seconds_median"] / 1e9
        rows.append({**row, "ratio_to_baseline": None, "repeats": len(one.spans)})
    for row in rows:
        row["ratio_to_baseline"] = ratio(row, rows, _BASELINES[row["operation"]])
    return rows


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns titles and tables that fit 100 columns."""
    rows, tables = _named(frames["store"]), []
    rows["cell"] = cells(rows, "ratio_to_baseline")
    shown = rows[rows.name.notna()]
    for operation, part in itertools.product((WRITE, READ), PARTS):
        for kind, own in shown.groupby("folder_kind", sort=False):
            own = own[(own.operation == operation) & (own.part == part)]
            table = own.pivot_table(
                "cell", ["MB x L", "P"], "name", aggfunc="first", sort=False, observed=True
            )
            title = f"{operation} {_PARTS[part]}, {kind}: GB/s, and times as fast as "
            tables.append((title + _NOTES[operation], table))
    views = rows[rows.how.str.match("views, (first|repeat, checksums on)")]
    what = (views.part + " " + views.how.str.removeprefix("views, ")).str
    what = what.removesuffix(", checksums on").str.replace(", checksums off", " no sums")
    views = views.assign(us=(views.seconds_median * 1e6).round(), what=what)
    views = views.rename(columns={"folder_kind": "folder"})
    table = views.pivot_table("us", ["folder", "MB x L", "P"], "what", sort=False)
    tables.append(("views of the store's bytes, not touched: microseconds", table))
    growth = storage_table(frames["storage"])
    return [*tables, ("evolved models, frozen prefixes: millions of bytes", growth)]


def _named(rows: Any) -> Any:
    """Returns the rows with the name that each has in tables and plots, if it is there."""
    sizes = zip(rows.model_mb, rows.layers, strict=True)
    named = rows.assign(
        name=rows.method.where(rows.method != "store", rows.how.map(_SHOWN)),
        sizes=[f"{size:g} x{layers}" for size, layers in sizes],
    )
    return named.rename(columns={"processes": "P", "sizes": "MB x L"})


def plots(frames: Frames) -> list[Plot]:
    """Returns plots of bandwidth by size, a file for each operation, part, and kind of folder.

    They show the smallest number of processes, and 20 layers if those were measured.
    """
    shown = _named(frames["store"])
    layers = 20 if 20 in shown.layers.values else shown.layers.iloc[0]
    shown = shown[(shown.layers == layers) & (shown.P.min() == shown.P)]
    return [
        Plot(
            f"{operation}_{part}_{kind}",
            f"{operation} {_PARTS[part]}, {kind} ({layers} layers, processes: {own.P.iloc[0]})",
            own.pivot_table("gb_per_s", "model_mb", "name"),
            "GB/s",
            log="y",
            across="MB",
        )
        for (operation, part, kind), own in shown.groupby(["operation", "part", "folder_kind"])
    ]


SUITE: Final = Suite(
    name="store",
    label="bandwidth",
    text="writing and reading models, beside files, HDF5, safetensors, Redis",
    title="Writing and reading weights",
    small=("--quick",),
    default=StoreSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    description=(
        "Writes and reads models, whole and a tenth of their layers, with the store and\n"
        "with other ways; then stores 1,000 evolved models. Takes some minutes."
    ),
    examples=(
        "--quick",
        "--sizes 64 256 --processes 1 --folders /dev/shm /scratch --out bench/store",
    ),
)
