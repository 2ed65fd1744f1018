"""The room that a benchmark finds: kinds of folders, free space, memory of processes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import shutil
import tempfile
from collections.abc import Iterator
from os import W_OK, access
from pathlib import Path
from typing import Final

import psutil

from parsl_tl.benchmarks.core.file_cache import file_system, is_in_memory
from parsl_tl.errors import BenchmarkError

TMPFS: Final = "tmpfs"
DISK: Final = "disk"
SHM: Final = Path("/dev/shm")


def folder_kind(folder: Path, flag: str = "--folder", must_be_memory: bool = False) -> str:
    """Returns ``tmpfs`` or ``disk``; ``flag`` is how a user names the folder.

    Raises:
        BenchmarkError: it is no folder, cannot be written, or is not in memory though it must be.
    """
    problem = "" if folder.is_dir() and access(folder, W_OK) else "no folder, or cannot be written"
    kind = TMPFS if is_in_memory(folder) else DISK
    if must_be_memory and kind == DISK and not problem:
        problem = f"on {file_system(folder)}, which is not in memory"
    if problem:
        raise BenchmarkError(f"{folder} is {problem}; name another one with {flag}")
    return kind


def check_room(
    folder: Path | None, on_disk: float, in_memory: float, advice: str, flag: str = "--folder"
) -> Path:
    """Returns the folder, or the system's temporary one, if it and the memory have the room.

    Args:
        folder: for files.
        on_disk: bytes of files.
        in_memory: bytes of memory besides.
        advice: what a user can do, behind "choose".
        flag: how a user names the folder.

    Raises:
        BenchmarkError: they have not.
    """
    folder = folder or Path(tempfile.gettempdir())
    kind = folder_kind(folder, flag)
    free, available = shutil.disk_usage(folder).free, available_bytes()
    if free < on_disk:
        raise BenchmarkError(
            f"{folder} has {free / 1e9:.1f} GB of free space, {on_disk / 1e9:.1f} GB are needed; "
            f"choose {advice}, or another {flag}"
        )
    needed = in_memory + (on_disk if kind == TMPFS else 0)
    if available < needed:
        raise BenchmarkError(
            f"{available / 1e9:.1f} GB of memory are available, {needed / 1e9:.1f} GB are needed; "
            f"choose {advice}"
        )
    return folder


@contextlib.contextmanager
def temporary_folder(where: Path | None) -> Iterator[Path]:
    """Makes a folder that goes again, with everything in it; the system has it if None."""
    place = None if where is None else where.resolve()
    with tempfile.TemporaryDirectory(
        prefix="parsl_tl_bench_", dir=place, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def resident_bytes() -> int:
    """Returns the memory that this process holds, after giving back what it has freed.

    Otherwise what is built next would lie in memory that an earlier method had freed, and would
    seem to need none.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc only
        trim(0)
    return resident_bytes_of(None)


def resident_bytes_of(pid: int | None) -> int:
    """Returns the resident memory of a process; None is this one."""
    return int(psutil.Process(pid).memory_info().rss)


def available_bytes() -> int:
    """Returns the memory that processes can still get."""
    return int(psutil.virtual_memory().available)
