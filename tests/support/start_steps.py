"""What a template and its workers do in tests, and what a task sees of it."""

from __future__ import annotations

import os
import signal
import threading
import time

imported_by: int | None = None
prepared_with: dict | None = None
prepared = threading.Event()


def imports(**arguments):
    global imported_by
    imported_by = os.getpid()
    if arguments.get("fault") == "raises":
        raise ImportError("no such framework")
    if arguments.get("fault") == "thread":
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def prepares(**arguments):
    global prepared_with
    prepared_with = arguments
    prepared.set()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def parent(number):
    """Returns the command of the process that this worker was forked from, and what it froze."""
    import gc

    import psutil

    return {
        "command": " ".join(psutil.Process(os.getppid()).cmdline()),
        "frozen": gc.get_freeze_count(),
    }


def look(number):
    """Returns what was there before this task, in which worker."""
    import numpy as np

    prepared.wait(60)
    return {
        "worker": os.getpid(),
        "parent": os.getppid(),
        "imported_by": imported_by,
        "prepared_with": prepared_with,
        "drawn": np.random.random(),
    }
