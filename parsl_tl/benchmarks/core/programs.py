"""Programs that a benchmark starts and ends: they never outlive it, however it ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from parsl_tl.parent_death import ending_with

Program = subprocess.Popen[Any]
_END_SECONDS = 15.0


def start_program(command: list[str], **popen: Any) -> Program:
    """Starts a program without input; ``popen`` is for ``subprocess.Popen``.

    It has a session of its own: Ctrl-C is for the benchmark, which then ends the program.
    """
    command = ending_with(os.getpid(), command)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **popen)


def is_ready(program: Program, ready: Callable[[], bool], seconds: float) -> bool:
    """Waits until a program is ready; tells whether it is, and neither ended nor took too long."""
    deadline = time.monotonic() + seconds
    while program.poll() is None and time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(0.02)
    return False


def end_programs(programs: Sequence[Program]) -> None:
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
