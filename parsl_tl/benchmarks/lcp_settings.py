"""What the benchmark of longest common prefixes measures, and whether it can be measured here."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from parsl_tl.benchmarks.core.memory import available_bytes
from parsl_tl.benchmarks.lcp_methods import METHODS, missing_methods
from parsl_tl.benchmarks.method_choice import choose_methods
from parsl_tl.benchmarks.store import TMPFS, folder_kind
from parsl_tl.errors import BenchmarkError

SIZES = (1_000, 10_000, 60_000, 200_000, 1_000_000)
_SHM = Path("/dev/shm")
# Log and snapshot take 1.5 kB per model; while a snapshot is written, the one before it is there.
_FOLDER_BYTES = 2_500
_CATALOG_BYTES = 1_000
# What a method holds per model while it is built.
_METHOD_BYTES = {
    "walk": 10_000,
    "walk-arrays": 2_000,
    "networkx": 60_000,
    "redis": 2_000,
    "store": 2_000,
}


@dataclass(frozen=True)
class LcpSettings:
    """What is measured; ``quick`` gives others than the default.

    Attributes:
        sizes: models in each catalog; smaller ones are the first models of the largest.
        queries: of each kind, at most.
        agreement: how many queries of each kind must have the same answer by every method.
        walk_up_to: models up to which ``walk`` and ``walk-arrays`` take part.
        networkx_up_to: the same for ``networkx``.
        redis_up_to: the same for ``redis``.
        processes: how many open the store of the largest catalog at once; see
            ``measure_processes``.
        methods: of ``METHODS``; None takes all that are installed.
        folder: where stores go, in a temporary folder; None takes ``/dev/shm`` if it has room,
            else the system's folder for temporary files.
        seed: of the catalog and the queries.
        method_seconds: time for the single queries of one kind by one method, after which no
            further query is asked; and the same for each number of threads.
    """

    sizes: tuple[int, ...] = SIZES
    queries: int = 10_000
    agreement: int = 1_000
    walk_up_to: int = 60_000
    networkx_up_to: int = 1_000
    redis_up_to: int = 60_000
    processes: tuple[int, ...] = (1, 2, 8)
    methods: tuple[str, ...] | None = None
    folder: Path | None = None
    seed: int = 0
    method_seconds: float = 10.0

    @classmethod
    def quick(cls) -> LcpSettings:
        """A look at it in half a minute: small catalogs, few queries."""
        return cls(
            sizes=(1_000, 10_000),
            queries=2_000,
            agreement=40,
            redis_up_to=1_000,
            processes=(1, 2),
            method_seconds=0.2,
        )

    def methods_at(self, size: int) -> tuple[str, ...]:
        """Returns the methods that take part with a catalog of this size."""
        limits = {
            "walk": self.walk_up_to,
            "walk-arrays": self.walk_up_to,
            "networkx": self.networkx_up_to,
            "redis": self.redis_up_to,
        }
        return tuple(name for name in self.methods or () if size <= limits.get(name, size))


def check(settings: LcpSettings) -> LcpSettings:
    """Returns settings with methods and folder named, and sizes in order.

    Raises:
        BenchmarkError: a value that cannot be, a method that is not installed, a folder that
            cannot be written, or not enough space or memory for the largest catalog.
    """
    if not settings.sizes or not all(0 < size <= 10**8 for size in settings.sizes):
        raise BenchmarkError(
            f"sizes {list(settings.sizes)} must be one or more positive numbers of models"
        )
    if not settings.processes or min(settings.processes) < 1:
        raise BenchmarkError(f"processes {list(settings.processes)} must be positive numbers")
    if settings.queries < 1:
        raise BenchmarkError(f"queries {settings.queries} must be at least 1")
    if not 1 <= settings.agreement <= settings.queries:
        raise BenchmarkError(
            f"agreement {settings.agreement} must be at least 1 and at most the number of "
            f"queries, {settings.queries}"
        )
    if settings.seed < 0:
        raise BenchmarkError(f"seed {settings.seed} must not be negative")
    checked = replace(
        settings,
        sizes=tuple(sorted(set(settings.sizes))),
        methods=choose_methods(settings.methods, METHODS, missing_methods()),
    )
    folder = _check_room(checked)
    _check_memory(checked, folder)
    return replace(checked, folder=folder)


def _check_room(settings: LcpSettings) -> Path:
    """Returns the folder for the stores."""
    needed = _FOLDER_BYTES * max(settings.sizes)
    folder = settings.folder
    if folder is None:
        has_room = _SHM.is_dir() and shutil.disk_usage(_SHM).free >= needed
        folder = _SHM if has_room else Path(tempfile.gettempdir())
    folder_kind(folder)  # raises where it cannot be written
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BenchmarkError(
            f"{folder} has {free / 1e9:.1f} GB of free space, {needed / 1e9:.1f} GB are needed; "
            "choose smaller --sizes or another --folder"
        )
    return folder


def _check_memory(settings: LcpSettings, folder: Path) -> None:
    largest = max(settings.sizes)
    # One method at a time holds one catalog.
    held = max(
        (
            _METHOD_BYTES[name] * size
            for size in settings.sizes
            for name in settings.methods_at(size)
        ),
        default=0,
    )
    files = _FOLDER_BYTES * largest if folder_kind(folder) == TMPFS else 0
    needed = _CATALOG_BYTES * largest + held + files
    if available_bytes() < needed:
        raise BenchmarkError(
            f"{available_bytes() / 1e9:.1f} GB of memory are available, {needed / 1e9:.1f} GB "
            "are needed; choose smaller --sizes"
        )
