"""Arrays that the processes of a run share on a node: written by one, mapped by all.

A run has a folder on the node's own disk (``TMPDIR``), for its user alone. It goes with the run,
and what runs that were killed have left goes with the next one. Nothing depends on it: what cannot
be kept, or was damaged, is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from parsl_tl.problems.array_cache import FACTS, NamedArrays, open_entry, write_entry

logger = logging.getLogger(__name__)

_USED: Final = "used"
# Locks of this process, held for as long as it lives.
_used: dict[tuple[int, Path], int] = {}


def node_folder(run: str) -> Path:
    """Returns a run's folder on this node, which is there as long as a process that asked for it.

    Args:
        run: name of the run, of letters, digits and ``-``.

    Raises:
        OSError: there cannot be one, or another user has made its place.
    """
    path = _place() / run
    known = _used.get((os.getpid(), path))
    if known is not None and _is_at(known, path / _USED):
        return path
    _remove_unused(path.parent)
    while True:
        path.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path / _USED, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_at(lock, path / _USED):
                break
            os.close(lock)  # another process took the folder for unused
    if known is not None:  # of a folder that was removed
        os.close(known)
    _used[os.getpid(), path] = lock
    return path


def _is_at(file: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(file), path.stat())


def remove_node_folder(run: str) -> None:
    """Removes a run's folder on this node; processes that have mapped its arrays keep these."""
    with contextlib.suppress(OSError):
        place = _place()
        lock = _used.pop((os.getpid(), place / run), None)
        if lock is not None:
            os.close(lock)
        shutil.rmtree(place / run, ignore_errors=True)
        place.rmdir()  # unless there are others


def _place() -> Path:
    """Returns the folder that this user's runs have theirs in."""
    path = Path(tempfile.gettempdir()) / f"parsl-tl-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not a folder of this user alone; set TMPDIR")
    return path


def _remove_unused(place: Path) -> None:
    for folder in place.iterdir():
        with contextlib.suppress(OSError), open(folder / _USED, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


class NodeCache:
    """Named arrays in a folder that the processes of a node share.

    Args:
        folder: is made where there is a folder for it.
        budget: bytes of all arrays together; those that were not used for the longest time go.
            None sets no limit.
    """

    def __init__(self, folder: Path, budget: int | None = None) -> None:
        self._folder, self._budget = folder, budget

    def find(self, name: str) -> NamedArrays | None:
        """Returns what is kept under a name, mapped; None if there is nothing, or not all of it."""
        path = self._folder / name
        found = open_entry(path)
        if found is not None:
            _note_use(path)
        return found

    def keep(self, name: str, content: NamedArrays) -> NamedArrays:
        """Keeps arrays under a name, if there is room.

        Returns:
            What is kept, mapped; ``content`` itself where nothing is.
        """
        size = sum(array.nbytes for array in content.arrays.values())
        if self._budget is not None and size > self._budget:
            return content
        try:
            with self.alone("writing"):
                self._make_room(size)
                if size > shutil.disk_usage(self._folder).free // 2:
                    return content
                write_entry(self._folder, name, f"{name}.", content, survives=False)
        except OSError as error:
            logger.warning("nothing is kept in %s: %s", self._folder, error)
            return content
        _note_use(self._folder / name)
        return open_entry(self._folder / name) or content

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Lets one process of the node at a time do what a name stands for.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with open(self._folder / f"{name}.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:  # closing is not enough: a child that was forked meanwhile has the file, too
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _make_room(self, size: int) -> None:
        if self._budget is None:
            return
        kept = []
        for facts in self._folder.glob(f"*/{FACTS}"):
            with contextlib.suppress(OSError):
                taken = sum(file.stat().st_size for file in facts.parent.glob("*.npy"))
                kept.append((facts.stat().st_mtime_ns, taken, facts.parent))
        total = sum(taken for _, taken, _ in kept)
        for _, taken, path in sorted(kept):
            if total + size <= self._budget:
                break
            shutil.rmtree(path, ignore_errors=True)
            total -= taken


def _note_use(entry: Path) -> None:
    now = time.time_ns()  # finer than the time that the system would note
    with contextlib.suppress(OSError):  # it may just have gone
        os.utime(entry / FACTS, ns=(now, now))
