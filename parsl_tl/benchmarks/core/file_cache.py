"""Files on disk and in the page cache: written back, thrown out of memory, counted there."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

_DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")
_IN_MEMORY: Final = ("tmpfs", "ramfs", "devtmpfs")


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
