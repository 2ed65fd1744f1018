"""Programs that a benchmark starts and ends: they never outlive it, however it ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from parsl_tl.parent_death import ending_with

_END_SECONDS = 15.0


def start_program(command: list[str], **popen: Any) -> subprocess.Popen[Any]:
    """Starts a program without input; ``popen`` is for ``subprocess.Popen``.

    It has a session of its own: Ctrl-C is for the benchmark, which then ends the program.
    """
    command = ending_with(os.getpid(), command)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **popen)


def end_programs(programs: Sequence[subprocess.Popen[Any]]) -> None:
    """Asks programs to end, and kills those that take too long."""
    for program in programs:
        program.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for program in programs:
        try:
            program.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
