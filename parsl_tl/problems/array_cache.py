"""NamedArrays that took long to read from files, kept beside the files and mapped the next time.

An entry is a folder of ``.npy`` files and one ``facts.json``. Its name tells what was read, with
which arguments, and the size and time of change of every source, so that changed sources have
another entry. It appears whole, by a rename; what a writer that was killed leaves is removed by the
next writer.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import data_folder

LEAST_BYTES: Final = 1 << 20
"""Sources that are smaller together are read as fast as an entry would be."""
CACHE_FOLDER: Final = ".parsl_tl_cache"

_PIECE_BYTES: Final = 1 << 26
FACTS: Final = "facts.json"
_LOCK: Final = "lock"
_PARTIAL: Final = ".partial"


@dataclass(frozen=True)
class NamedArrays:
    """What was read.

    Attributes:
        arrays: by name; of an entry of the cache they are read-only and mapped.
        facts: whatever else is known, JSON-able.
    """

    arrays: Mapping[str, Array]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def get(self, name: str) -> Array | None:
        """Returns an array, or None where there is none of that name."""
        return self.arrays.get(name)


def cached_arrays(
    sources: Sequence[Path],
    version: str,
    arguments: Mapping[str, Any],
    read: Callable[[], NamedArrays],
    *,
    beside: Path | None = None,
) -> NamedArrays:
    """Returns arrays from the cache, or reads them and keeps them there.

    Args:
        sources: the files that they come from.
        version: of ``read``; another one reads anew.
        arguments: what else the arrays depend on; JSON-able. The same arguments with other sources
            replace an entry.
        read: reads them from the sources.
        beside: folder that gets the cache; that of the first source if None, and the data folder
            where nothing can be written there.

    Returns:
        What ``read`` returns: mapped from the cache, unless the sources are small or no cache can
        be written.
    """
    states = [(str(path), path.stat()) for path in sources]
    if sum(state.st_size for _, state in states) < LEAST_BYTES:
        return _in_memory(read())
    place = beside or sources[0]
    what = f"{place.name}-{_digest([version, str(place), dict(arguments)])}-"
    stamp = _digest([(path, state.st_size, state.st_mtime_ns) for path, state in states])
    name = f"{what}{stamp}"
    folders = [(beside or sources[0].parent) / CACHE_FOLDER, data_folder() / CACHE_FOLDER]
    for folder in folders:
        if (entry := open_entry(folder / name)) is not None:
            return entry
    result = read()
    problems = []
    for folder in folders:
        try:
            write_entry(folder, name, what, result)
        except OSError as error:
            problems.append(f"{folder}: {error.strerror or error}")
            continue
        return open_entry(folder / name) or _in_memory(result)
    warnings.warn(
        f"what was read from {sources[0]} cannot be kept ({'; '.join(problems)}), so that every "
        "process reads it anew; set PARSL_TL_DATA to a folder that can be written",
        stacklevel=2,
    )
    return _in_memory(result)


def _in_memory(result: NamedArrays) -> NamedArrays:
    arrays = {
        name: array if isinstance(array, np.ndarray) else np.asarray(array[:], np.float32)
        for name, array in result.arrays.items()
    }
    return NamedArrays(arrays, result.facts)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def open_entry(path: Path) -> NamedArrays | None:
    """Maps an entry; None if there is none, or a machine that went down has damaged it."""
    try:
        described = json.loads((path / FACTS).read_bytes())
        arrays = {
            name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in described["arrays"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return NamedArrays(arrays, described["facts"])


def write_entry(
    folder: Path, name: str, prefix: str, content: NamedArrays, *, survives: bool = True
) -> None:
    """Writes an entry of a cache and removes those of the same arguments that are out of date.

    Args:
        folder: the cache.
        name: of the entry.
        prefix: what the names of entries of the same arguments begin with.
        content: of the entry.
        survives: wait until the disk has it, so that it is whole even if the machine goes down.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    partial = folder / f"{name}.{uuid.uuid4().hex}{_PARTIAL}"
    partial.mkdir()
    try:
        with (partial / _LOCK).open("wb") as lock:
            _lock(lock)
            for key, array in content.arrays.items():
                _write_array(partial / f"{key}.npy", array)
                if survives:
                    _sync(partial / f"{key}.npy")
            described = {"arrays": sorted(content.arrays), "facts": dict(content.facts)}
            (partial / FACTS).write_text(json.dumps(described))
            _put_in_place(partial, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for old in folder.glob(f"{glob.escape(prefix)}*"):
        if old.name != name and old.suffix != _PARTIAL:
            shutil.rmtree(old, ignore_errors=True)


def _write_array(path: Path, array: Any) -> None:
    """Writes an array; a data set of an HDF5 file is copied piece by piece, as float32."""
    if isinstance(array, np.ndarray):
        with path.open("wb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)
    else:
        to = np.lib.format.open_memmap(path, "w+", np.dtype("f4"), array.shape)
        rows = max(1, _PIECE_BYTES // max(1, to[:1].nbytes))
        for first in range(0, len(to), rows):
            to[first : first + rows] = array[first : first + rows]
        to.flush()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _put_in_place(partial: Path, entry: Path) -> None:
    try:
        partial.rename(entry)
    except OSError:
        if open_entry(entry) is not None:  # another process was first
            return
        shutil.rmtree(entry, ignore_errors=True)
        partial.rename(entry)


def _remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left: one that lives holds its lock."""
    for partial in folder.glob(f"*{_PARTIAL}"):
        with contextlib.suppress(OSError), (partial / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(partial, ignore_errors=True)


def _lock(file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Without locks on this file system nobody removes anything.
        if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
            raise
