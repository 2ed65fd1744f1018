"""Worker processes, servers and files that a test must not leave behind."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

_WORDS = ("parsl_tl.task_process", "redis-server", "store serve")
_others: set[int] = set()


def ignore_those_before() -> None:
    """From now on, processes that run already do not count: other tests' servers, say."""
    _others.clear()
    _others.update(child.pid for child in psutil.Process().children(recursive=True))


def processes_left() -> list[psutil.Process]:
    """Those that this process has started since and that still run."""
    left = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as gone, too
            name = " ".join(child.cmdline())
            if child.pid not in _others and any(word in name for word in _WORDS):
                left.append(child)
    return left


def workers() -> list[psutil.Process]:
    """Those of them that do tasks."""
    return [child for child in processes_left() if "task_process" in " ".join(child.cmdline())]


def nothing_left(folder: Path) -> bool:
    """Whether a folder is empty, and no process is left."""
    return list(folder.iterdir()) == [] and processes_left() == []
