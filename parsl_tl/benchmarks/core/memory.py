"""How much memory this process holds, and how much there is."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path


def resident_bytes() -> int:
    """Returns the memory that this process holds, after giving back what it has freed.

    Otherwise what is built next would lie in memory that an earlier method had freed, and would
    seem to need none.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional_bytes() -> int:
    """Returns this process's part of memory: pages that n processes share count 1/n in each."""
    return _field(Path("/proc/self/smaps_rollup"), "Pss:") or 0


def available_bytes() -> float:
    """Returns the memory that processes can still get; infinity where that is not told."""
    found = _field(Path("/proc/meminfo"), "MemAvailable:")
    return float("inf") if found is None else float(found)


def _field(path: Path, name: str) -> int | None:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    return None
