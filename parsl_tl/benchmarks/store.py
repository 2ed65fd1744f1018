"""How fast a store writes and reads models, beside files, HDF5, safetensors and Redis.

All methods write and read the same arrays in the same run, one after the other in every round. What
is read was written before, so it comes from memory (the page cache) for every method, and no
method waits for the disk: that is what ``durability="os"`` promises. Where models are large beside
the memory, the kernel holds up writers to a disk nevertheless; ``seconds_min`` tells what it takes
when it does not. With several processes, what takes less than a millisecond is mostly the time in
which the last of them wakes up.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.core.redis_server import RedisServer, redis_missing
from parsl_tl.benchmarks.method_choice import choose_methods
from parsl_tl.benchmarks.store_methods import WRITE
from parsl_tl.benchmarks.store_models import MB
from parsl_tl.benchmarks.store_workers import Case, Measured, Workers
from parsl_tl.errors import BenchmarkError

METHODS = ("memcpy", "plain", "hdf5", "safetensors", "redis", "store")
SIZES = (1.0, 16.0, 64.0, 256.0)
LAYERS = (5, 20, 50, 200)
TMPFS, DISK = "tmpfs", "disk"

Row = dict[str, Any]
# Share of the work that is done, and what comes next.
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class StoreSettings:
    """What is measured; ``quick`` and ``full`` give others than the default.

    Attributes:
        sizes: millions of bytes per model.
        layers: dense layers per model.
        processes: how many write and read at once, each its own models.
        folders: at most one on tmpfs and one on a disk; temporary folders are made in them.
        methods: from ``METHODS``; None takes all that are installed.
        seed: of weights and of the order in which methods follow each other.
        min_rounds: repetitions of everything, at least.
        max_rounds: at most.
        case_seconds: between these, as many repetitions as fit this time.
    """

    sizes: tuple[float, ...] = SIZES
    layers: tuple[int, ...] = (20,)
    processes: tuple[int, ...] = (1, 4)
    folders: tuple[Path, ...] = (Path("/dev/shm"), Path())
    methods: tuple[str, ...] | None = None
    seed: int = 0
    min_rounds: int = 5
    max_rounds: int = 31
    case_seconds: float = 4.0

    @classmethod
    def quick(cls) -> StoreSettings:
        """A look at it in half a minute: two sizes, one process."""
        return cls(sizes=(1.0, 16.0), processes=(1,), max_rounds=11, case_seconds=0.5)

    @classmethod
    def full(cls) -> StoreSettings:
        """All combinations of sizes and layers."""
        return cls(layers=LAYERS)


def missing_methods() -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    missing: dict[str, str] = {}
    for method, package in (("hdf5", "h5py"), ("hdf5", "tensorflow"), ("safetensors",) * 2):
        if importlib.util.find_spec(package) is None:
            missing[method] = f"{package} is not installed: pip install {package}"
    reason = redis_missing()
    if reason is not None:
        missing["redis"] = reason
    return missing


def check(settings: StoreSettings) -> StoreSettings:
    """Returns settings whose methods are named.

    Raises:
        BenchmarkError: a value that cannot be, a method that is not installed, a folder that
            cannot be written, or not enough space or memory for the largest models.
    """
    for name, values in (
        ("sizes", settings.sizes),
        ("layers", settings.layers),
        ("processes", settings.processes),
    ):
        if not values or not all(0 < value < 1e6 for value in values):
            raise BenchmarkError(f"{name} {list(values)} must be one or more positive numbers")
    if settings.seed < 0:
        raise BenchmarkError(f"seed {settings.seed} must not be negative")
    methods = choose_methods(settings.methods, METHODS, missing_methods())
    kinds = [folder_kind(folder) for folder in settings.folders]
    if not kinds or len(set(kinds)) < len(kinds):
        names = ", ".join(map(str, settings.folders))
        raise BenchmarkError(
            f"folders {names or 'none'} are on {', '.join(kinds) or 'nothing'}; "
            "name one on tmpfs, one on a disk, or both"
        )
    checked = replace(settings, methods=methods)
    _check_space(checked)
    return checked


def _check_space(settings: StoreSettings) -> None:
    assert settings.methods is not None
    # Each process keeps a model per method to read, two for the store, and one that it writes.
    kept = max(settings.sizes) * MB * max(settings.processes) * (len(settings.methods) + 2)
    # Arrays to write, to read into, in Keras, and what a library needs besides.
    memory = max(settings.sizes) * MB * max(settings.processes) * 5
    for folder in settings.folders:
        free = shutil.disk_usage(folder).free
        if free < kept:
            raise BenchmarkError(
                f"{folder} has {free / 1e9:.1f} GB of free space, {kept / 1e9:.1f} GB are needed; "
                "choose smaller sizes, fewer processes or other folders"
            )
        needed = memory + (kept if folder_kind(folder) == TMPFS else 0)
        if _available_memory() < needed:
            raise BenchmarkError(
                f"{_available_memory() / 1e9:.1f} GB of memory are available, "
                f"{needed / 1e9:.1f} GB are needed; choose smaller sizes or fewer processes"
            )


def _available_memory() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return float("inf")


def folder_kind(folder: Path) -> str:
    """Returns ``tmpfs`` or ``disk``.

    Raises:
        BenchmarkError: it is no folder, or cannot be written.
    """
    path = folder.resolve()
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise BenchmarkError(f"folder {str(folder)!r} does not exist or cannot be written")
    best, kind = -1, ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, name, *_ = line.split()
        # Later lines hide earlier ones on the same place.
        if path.is_relative_to(mount) and len(mount) >= best:
            best, kind = len(mount), name
    return TMPFS if kind in ("tmpfs", "ramfs") else DISK


def run_store_bench(
    settings: StoreSettings, progress: Progress = lambda share, text: None
) -> list[Row]:
    """Measures everything; leaves no folder, process or server behind, whatever happens.

    Args:
        settings: what to measure.
        progress: called before each case.

    Returns:
        One row per case and operation: ``folder_kind``, ``method``, ``operation`` (write, read),
        ``part`` (whole, tenth), ``how``, ``model_mb``, ``layers``, ``processes``,
        ``bytes`` (that all processes move together), ``seconds_median`` and ``seconds_min`` (from
        the common start to the last end), ``gb_per_s`` (1e9 bytes, of the median),
        ``ratio_to_baseline`` (how many times as fast as plain files for writes, as memcpy for
        reads; by the medians), ``repeats``.

    Raises:
        BenchmarkError: see ``check``; a process or server failed; a method gave back other bytes
            than were written.
    """
    checked = check(settings)
    assert checked.methods is not None
    cases = [
        (size, layers, processes, folder)
        for size in checked.sizes
        for layers in checked.layers
        for processes in checked.processes
        for folder in checked.folders
    ]
    # A round's time grows with the bytes, and each case has a part that does not.
    weights = [size * processes + 30 for size, _, processes, _ in cases]
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        roots = {f: stack.enter_context(temporary_folder(f)) for f in checked.folders}
        redis = stack.enter_context(RedisServer()) if "redis" in checked.methods else None
        workers = stack.enter_context(Workers(checked.processes))
        for number, (size, layers, processes, folder) in enumerate(cases):
            kind = folder_kind(folder)
            many = "1 process" if processes == 1 else f"{processes} processes"
            text = f"{size:g} MB, {layers} layers, {many}, {kind}"
            progress(sum(weights[:number]) / sum(weights), text)
            own = roots[folder] / str(number)
            own.mkdir()
            socket = redis.socket if redis is not None else None
            case = Case(own, size, layers, processes, checked.methods, socket, checked.seed)
            rows += _rows(kind, case, _measure(workers, case, checked))
            shutil.rmtree(own)
    progress(1.0, "done")
    return rows


@contextlib.contextmanager
def temporary_folder(where: Path) -> Iterator[Path]:
    """Makes a folder that goes again, with everything in it."""
    with tempfile.TemporaryDirectory(
        prefix="parsl_tl_bench_", dir=where.resolve(), ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _measure(workers: Workers, case: Case, settings: StoreSettings) -> list[list[Measured]]:
    workers.prepare(case)
    _write_out(case.folder)
    start = time.perf_counter()
    found = workers.repeat(case, settings.min_rounds)
    seconds = (time.perf_counter() - start) / settings.min_rounds
    fitting = min(settings.max_rounds, int(settings.case_seconds / seconds))
    if fitting > settings.min_rounds:
        further = workers.repeat(case, fitting - settings.min_rounds)
        for own, more in zip(found, further, strict=True):
            for measured, continued in zip(own, more, strict=True):
                measured.spans.extend(continued.spans)
    workers.clear(case)
    return found


def _write_out(folder: Path) -> None:
    """Waits until the files to read are on the disk.

    Otherwise the kernel writes them while others are written and holds up those, whosever they are.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _rows(kind: str, case: Case, by_process: list[list[Measured]]) -> list[Row]:
    rows: list[Row] = []
    for same in zip(*by_process, strict=True):
        seconds = [_wall(spans) for spans in zip(*(one.spans for one in same), strict=True)]
        num_bytes = sum(one.num_bytes for one in same)
        median = statistics.median(seconds)
        rows.append(
            {
                "folder_kind": kind,
                "method": same[0].method,
                "operation": same[0].operation,
                "part": same[0].part,
                "how": same[0].how,
                "model_mb": case.model_mb,
                "layers": case.layers,
                "processes": case.processes,
                "bytes": num_bytes,
                "seconds_median": median,
                "seconds_min": min(seconds),
                "gb_per_s": num_bytes / median / 1e9,
                "ratio_to_baseline": None,
                "repeats": len(seconds),
            }
        )
    _add_ratios(rows)
    return rows


def _wall(spans: Sequence[tuple[float, float]]) -> float:
    """Returns the seconds from the first start to the last end."""
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _add_ratios(rows: list[Row]) -> None:
    """Compares the rows of one case with its baselines, where those were measured."""
    medians = {(row["method"], row["operation"], row["part"]): row for row in rows}
    for row in rows:
        method = "plain" if row["operation"] == WRITE else "memcpy"
        baseline = medians.get((method, row["operation"], row["part"]))
        if baseline is not None:
            row["ratio_to_baseline"] = baseline["seconds_median"] / row["seconds_median"]
