"""The room that a benchmark finds: folders, free space, memory, and files in the page cache."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from os import W_OK, access
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

from parsl_tl.errors import BenchmarkError

TMPFS: Final = "tmpfs"
DISK: Final = "disk"
SHM: Final = Path("/dev/shm")
_DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")
_IN_MEMORY: Final = ("tmpfs", "ramfs", "devtmpfs")


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
    free, available = shutil.disk_usage(folder).free, psutil.virtual_memory().available
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
    return int(psutil.Process().memory_info().rss)


def files_under(path: Path) -> list[Path]:
    """Returns the files at or below a path, sorted."""
    if not path.is_dir():
        return [path]
    return sorted(found for found in path.rglob("*") if found.is_file())


def total_bytes(paths: Iterable[Path]) -> int:
    """Returns the sizes of files, in bytes; of one that is gone, 0."""
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # a file that was made for a moment only
            total += path.stat().st_size
    return total


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Has a file, or all below a folder, written to the disk (fsync), names included.

    Raises:
        OSError: the disk could not take it.
    """
    for name in [path, *path.rglob("*")] if path.is_dir() else [path, path.parent]:
        # Another process may be faster to remove a file.
        with contextlib.suppress(FileNotFoundError):
            if not name.is_socket():
                with _synced(name):
                    pass


def drop_from_cache(paths: Iterable[Path], system_wide: bool = False) -> str:
    """Throws files out of the page cache, as far as this user may.

    Args:
        paths: files; what was not written back yet is written back first.
        system_wide: all caches of the machine, which takes root; else these files alone, which
            leaves pages that another process has mapped.

    Returns:
        The way: ``posix_fadvise`` or ``drop_caches``.
    """
    for path in paths:
        with _synced(path) as descriptor:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if system_wide and os.access(_DROP_CACHES, os.W_OK):
        with contextlib.suppress(OSError):  # a container's root, who may not after all
            _DROP_CACHES.write_text("1\n")
            return "drop_caches"
    return "posix_fadvise"


def cached_share(paths: Iterable[Path]) -> float:
    """Returns which share of the files' pages is in memory, from 0 to 1 (mincore).

    Raises:
        OSError: the system does not tell.
    """
    pages = [_pages_in_memory(path, size) for path in paths if (size := path.stat().st_size)]
    return float(np.concatenate(pages).mean()) if pages else 0.0


def _pages_in_memory(path: Path, size: int) -> NDArray[np.bool_]:
    libc, pages = ctypes.CDLL(None, use_errno=True), np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped:
        given = (np.frombuffer(mapped, np.uint8).ctypes.data, size, pages.ctypes.data)
        if libc.mincore(*map(ctypes.c_void_p, given)) != 0:
            raise OSError(ctypes.get_errno(), f"mincore of {path}")
    return (pages & 1).astype(bool)


def file_system(path: Path) -> str:
    """Returns the type of the file system that a path is on, such as ``ext4``; else ``unknown``."""
    whole = path.resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if whole.is_relative_to(m.mountpoint)]
    # Of several at the longest one's place, the last hides those before.
    found = max(enumerate(mounts), key=lambda one: (len(one[1].mountpoint), one[0]), default=None)
    return "unknown" if found is None else str(found[1].fstype)


def is_in_memory(path: Path) -> bool:
    """Tells whether files there are in memory and nowhere else."""
    return file_system(path) in _IN_MEMORY
