"""Processes that end when the process that started them does, even where that was killed.

As a program, ``python -m parsl_tl.parent_death PID COMMAND ...`` becomes the command, which then
ends with the process PID. Linux only; elsewhere, nothing changes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Has the system send SIGTERM to this process when the thread that started it has ended.

    Args:
        parent: id of the process that started this one; if it has ended already, this one does.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            sys.exit()


def ending_with(pid: int, command: list[str]) -> list[str]:
    """Returns the command line of a program that ends with a process."""
    return [sys.executable, "-m", "parsl_tl.parent_death", str(pid), *command]


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
