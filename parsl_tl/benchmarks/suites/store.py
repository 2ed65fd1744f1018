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
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from parsl_tl.benchmarks.core.options import Presets, names_option, option
from parsl_tl.benchmarks.core.room import check_room, folder_kind, temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Tables, in_steps, pivot, silent
from parsl_tl.benchmarks.formats import methods_of, missing_methods
from parsl_tl.benchmarks.formats.bench_model import MB
from parsl_tl.benchmarks.formats.method import READ, WRITE, Case
from parsl_tl.benchmarks.suites.bandwidth import NAMES, BandwidthSuite, cells, ratio
from parsl_tl.errors import BenchmarkError
from parsl_tl.population.catalog import evolve_catalog
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.store import open_store

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
# The models of a search.
_NUM_LAYERS = 10
_WINDOW = 100
# Sizes in the format of segments: the header, and what tensors are aligned to.
_HEADER = 64
_ALIGNMENT = 64


@dataclass(frozen=True)
class StoreSuite(BandwidthSuite):
    """Processes x folders x sizes x layers x formats, each written and read in parts."""

    name = "store"
    label = "bandwidth"
    text = "writing and reading models, beside files, HDF5, safetensors, Redis"
    title = "Writing and reading weights"
    small = ("--quick",)
    description = (
        "Writes and reads models, whole and a tenth of their layers, with the store and\n"
        "with other ways; then stores 1,000 evolved models. Takes some minutes."
    )
    examples = (
        "--quick",
        "--sizes 64 256 --processes 1 --folders /dev/shm /scratch --out bench/store",
    )
    PRESETS: ClassVar[Presets] = {
        "quick": (
            "small models only, half a minute",
            {"sizes": (1.0, 16.0), "processes": (1,), "max_rounds": 11, "case_seconds": 0.5}
            | {"storage": (1,), "storage_models": 200},
        ),
        "full": ("all sizes with all numbers of layers", {"layers": (5, 20, 50, 200)}),
    }

    sizes: tuple[float, ...] = option(
        (1.0, 16.0, 64.0, 256.0), "millions of bytes per model", metavar="MB", above=0, most=1e6
    )
    layers: tuple[int, ...] = option((20,), "dense layers per model", least=1, most=1e6)
    processes: tuple[int, ...] = option((1, 4), "that write and read at once", least=1, most=1e6)
    folders: tuple[Path, ...] = option(
        (Path("/dev/shm"), Path()),
        "where temporary folders go, at most one on tmpfs and one on a disk",
    )
    methods: tuple[str, ...] | None = names_option(
        methods_of("store"), lambda _: missing_methods("store")
    )
    seed: int = option(0, "of weights and order", least=0)
    storage: tuple[int, ...] = (1, 2)  # widths of the models of a search, times the usual ones
    storage_models: int = 1000

    def check(self) -> Self:
        """Refuses two folders of one kind, and what has not the room for the largest models."""
        kinds = [folder_kind(folder, "--folders") for folder in self.folders]
        if len(set(kinds)) < len(kinds):
            raise BenchmarkError(
                f"folders {', '.join(map(str, self.folders))} are on {', '.join(kinds)}; "
                "name one on tmpfs, one on a disk, or both"
            )
        moved = max(self.sizes) * MB * max(self.processes)
        for folder in self.folders:
            # Each process keeps a model per method to read, two for the store, and one that it
            # writes; in memory arrays to write, to read into, in Keras, and what a library needs.
            kept = moved * (len(self.methods or ()) + 2)
            check_room(folder, kept, moved * 5, "smaller --sizes, fewer --processes", "--folders")
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``store``, and of a search ``storage``."""
        methods = self.methods or ()
        with contextlib.ExitStack() as stack:
            roots = {f: stack.enter_context(temporary_folder(f)) for f in self.folders}
            runner, socket = stack.enter_context(self.running(max(self.processes), methods))

            def case(size: float, layers: int, count: int, folder: Path) -> list[Row]:
                with temporary_folder(roots[folder]) as own:
                    one = Case(own, size, layers, count, methods, self.seed, socket)
                    return _rows(folder_kind(folder), one, self.measure_case(runner, one))

            def search(factor: int) -> list[Row]:
                with temporary_folder(self.folders[0]) as own:
                    return [measure_storage(own, self.storage_models, self.seed, factor)]

            steps: list[tuple[str, tuple[str, Any, tuple[Any, ...]]]] = []
            axes = (self.sizes, self.layers, self.processes, self.folders)
            for given in itertools.product(*axes):
                many = f"{given[2]} process{'es' * (given[2] > 1)}"
                step = f"{given[0]:g} MB, {given[1]} layers, {many}, {folder_kind(given[3])}"
                steps.append((step, ("store", case, given)))
            for factor in self.storage:
                units = f"{16 * factor} to {96 * factor} units"
                step = f"{self.storage_models:,} evolved models, {units}"
                steps.append((step, ("storage", search, (factor,))))
            tables: Tables = {"store": [], "storage": []}
            for name, measure, given in in_steps(progress, steps):
                tables[name] += measure(*given)
        return tables

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns titles and tables that fit 100 columns."""
        rows, tables = _named(frames), []
        groups = rows[rows.name.notna()].groupby(["operation", "part", "folder"])
        for (operation, part, kind), own in reversed(list(groups)):
            title = f"{operation} {_PARTS[part]}, {kind}: GB/s, and times as fast as "
            table = pivot(own, "cell", ["MB x L", "P"], "name")
            tables.append((title + _NOTES[operation], table))
        views = rows[rows.how.str.match("views, (first|repeat, checksums on)")]
        how = views.how.replace(r"views, |, checksums on", "", regex=True)
        what = views.part + " " + how.str.replace(", checksums off", " no sums")
        views = views.assign(us=(views.seconds_median * 1e6).round(), what=what)
        table = pivot(views, "us", ["folder", "MB x L", "P"], "what")
        tables.append(("views of the store's bytes, not touched: microseconds", table))
        growth = storage_table(frames["storage"])
        return [*tables, ("evolved models, frozen prefixes: millions of bytes", growth)]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns bandwidth by size, of the fewest processes, and 20 layers if there are such."""
        rows, found = _named(frames), []
        layers = 20 if 20 in rows.layers.values else rows.layers.iloc[0]
        rows = rows[(rows.layers == layers) & (rows.P.min() == rows.P)]
        for (operation, part, kind), own in rows.groupby(["operation", "part", "folder"]):
            processes = f"{layers} layers, processes: {own.P.iloc[0]}"
            title = f"{operation} {_PARTS[part]}, {kind} ({processes})"
            table = own.pivot_table("gb_per_s", "model_mb", "name")
            name = f"{operation}_{part}_{kind}"
            found.append(Plot(name, title, table, "GB/s", log="y", across="MB"))
        return found


def _rows(kind: str, case: Case, measured: list[Row]) -> list[Row]:
    rows: list[Row] = []
    shape = {"model_mb": case.model_mb, "layers": case.layers, "processes": case.processes}
    for one in measured:
        names, repeats = {name: one.pop(name) for name in NAMES}, one.pop("repeats")
        speed = one["bytes"] / one["seconds_median"] / 1e9
        row = {"folder_kind": kind, **names, **shape, **one, "gb_per_s": speed}
        rows.append({**row, "ratio_to_baseline": None, "repeats": repeats})
    for row in rows:
        row["ratio_to_baseline"] = ratio(row, rows, _BASELINES[row["operation"]])
    return rows


def _named(frames: Frames) -> Any:
    """Returns the rows with the name that each has in tables and plots, if it is there."""
    rows = frames["store"]
    named = rows.assign(
        name=rows.method.where(rows.method != "store", rows.how.map(_SHOWN)),
        cell=cells(rows, "ratio_to_baseline"),
        size=rows.model_mb.map("{:g} x".format) + rows.layers.astype(str),
    )
    return named.rename(columns={"processes": "P", "size": "MB x L", "folder_kind": "folder"})


def measure_storage(
    folder: Path, num_models: int = 1000, seed: int = 0, width_factor: int = 1
) -> dict[str, Any]:
    """Stores evolved models with frozen prefixes, and looks at the files; gives one row.

    The models are those of ``evolve_catalog`` with a population of 100. A child freezes the layers
    that its donor has, and stores the others with weights of its own; the random models of the
    first population store all. All layers are so many times as wide as usual (16 to 96 units). The
    store stays in the folder, which was empty.
    """
    catalog = evolve_catalog(num_models, seed=seed, window=_WINDOW, num_layers=_NUM_LAYERS)
    units = (16 * width_factor, 96 * width_factor, 16 * width_factor)
    space = DenseSkipSpace(_NUM_LAYERS, units)
    rng = np.random.default_rng([seed, 4])
    count: Counter[str] = Counter()
    with open_store(f"embedded:{folder}") as store:
        for index in range(num_models):
            graph = space.build(catalog.arch_seqs[index].tolist(), (10,), (1,))
            match = store.find_donor(graph) if catalog.parents[index] >= 0 else None
            frozen, donor = (match.layer_names, match.model_id) if match else ((), None)
            weights: dict[str, list[Any]] = {}
            for name, layer in zip(graph.layer_names, graph.layers, strict=True):
                if layer.class_name != "Dense" or layer.build_config is None:
                    continue
                width = int(layer.config["units"])
                kernel = (int(layer.build_config["input_shape"][-1]), width)
                count["full"] += 4 * (kernel[0] + 1) * width
                if name not in frozen:
                    weights[name] = [rng.random(one, np.float32) for one in (kernel, (width,))]
            quality = float(catalog.qualities[index])
            put = store.put(index, graph, weights, quality=quality, parent=donor, donor=donor)
            sizes = [array.nbytes for arrays in weights.values() for array in arrays]
            count["trained"] += sum(sizes)
            count["stored"] += put.bytes_stored
            count["padding"] += sum(-size % _ALIGNMENT for size in sizes)
            count["tensors"] += len(sizes)
            count["segments"] += bool(sizes)
        stats = store.stats()
    in_files = sum(file.stat().st_size for file in folder.rglob("*") if _is_segment(file))
    headers = _HEADER * count["segments"]
    return {
        "models": num_models,
        "units": f"{units[0]}-{units[1]}",
        "tensors": count["tensors"],
        "bytes_trained": count["trained"],
        "bytes_stored": count["stored"],
        "bytes_live": stats["bytes_live"],
        "tensor_overhead_percent": 100 * (count["stored"] / count["trained"] - 1),
        "full_copies_bytes": count["full"],
        "bytes_in_segment_files": in_files,
        "overhead_percent": 100 * (in_files / count["trained"] - 1),
        "bytes_headers": headers,
        "bytes_padding": count["padding"],
        "bytes_directories": in_files - count["stored"] - headers - count["padding"],
        "segments": count["segments"],
        "bytes_log": stats["bytes_log"],
        "bytes_snapshot": stats["bytes_snapshot"],
    }


def _is_segment(path: Path) -> bool:
    """Tells whether a file holds weights: it begins with its format's name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(6) == b"PTLSEG"


def storage_table(rows: Any) -> Any:
    """Returns the columns that tell most, in millions of bytes."""
    columns = {"bytes_trained": "trained", "bytes_stored": "stored"}
    columns |= {"full_copies_bytes": "full copies", "bytes_in_segment_files": "in files"}
    columns |= {"bytes_log": "log"}
    sizes = (rows[list(columns)] / 1e6).rename(columns=columns)
    overhead = rows["overhead_percent"].rename("files over trained, %")
    return rows[["models", "units"]].join(sizes).join(overhead)
