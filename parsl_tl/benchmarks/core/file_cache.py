"""Files on disk and in the page cache: written back, thrown out of memory, counted there."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

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


def sync(path: Path) -> None:
    """Has a file, or all below a folder, written to the disk (fsync), names included.

    Raises:
        OSError: the disk could not take it.
    """
    for name in [path, *path.rglob("*")] if path.is_dir() else [path, path.parent]:
        try:
            descriptor = os.open(name, os.O_RDONLY)
        except FileNotFoundError:  # of another process that was faster
            continue
        except OSError:
            if name.is_socket():
                continue
            raise
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
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
    pages = b"".join(_pages(path, size) for path in paths if (size := path.stat().st_size))
    return sum(page & 1 for page in pages) / len(pages) if pages else 0.0


def _pages(path: Path, size: int) -> bytes:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    with path.open("rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        if address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), f"{path} cannot be mapped")
        try:
            pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
            if libc.mincore(address, size, pages) != 0:
                raise OSError(ctypes.get_errno(), f"mincore of {path}")
            return pages.raw
        finally:
            libc.munmap(address, size)


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
