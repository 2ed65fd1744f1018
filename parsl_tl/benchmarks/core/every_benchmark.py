"""A small run of every benchmark, each in a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from parsl_tl.benchmarks.core.programs import end_programs, start_program
from parsl_tl.benchmarks.core.suite import Progress, Suite, all_suites
from parsl_tl.errors import InvalidValueError

_LONGEST_SECONDS = 900.0
_PROGRAM = (sys.executable, "-m", "parsl_tl.cli", "bench")


class BenchmarkRun(NamedTuple):
    """What came of a benchmark: its files and tables, and why it failed, empty if it did not."""

    suite: Suite
    command: str
    folder: Path
    output: str
    problem: str
    seconds: float


def small_command(suite: Suite, out: Path, folder: Path | None) -> list[str]:
    """Returns the command line; ``folder`` is for temporary files, the suite's choice if None."""
    command = [*_PROGRAM, suite.name, *suite.small, "--out", str(out)]
    flag = next((name for name in ("folder", "folders") if hasattr(suite.default, name)), "")
    return command if folder is None or not flag else [*command, f"--{flag}", str(folder)]


def run_benchmarks(
    names: Sequence[str], out: Path, folder: Path | None, progress: Progress
) -> list[BenchmarkRun]:
    """Runs benchmarks, one after the other; one that fails does not end the others.

    Args:
        names: of suites; none for all that have a small run.
        out: each gets a folder in it.
        folder: for temporary files; the benchmarks' own choice if None.
        progress: called before each.

    Raises:
        InvalidValueError: an unknown name.
    """
    known = {suite.name: suite for suite in all_suites() if suite.small}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidValueError(
            f"there is no benchmark {unknown[0]!r}; choose from {', '.join(known)}"
        )
    chosen = [known[name] for name in names or known]
    runs = []
    for number, suite in enumerate(chosen):
        progress(number / len(chosen), suite.title)
        runs.append(_run(suite, out / suite.name, folder))
    progress(1.0, "done")
    return runs


def _run(suite: Suite, out: Path, folder: Path | None) -> BenchmarkRun:
    command = small_command(suite, out, folder)
    start = time.perf_counter()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Tables of a fixed width, and without colours.
    env = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = start_program(command, env=env, **pipes)
    problem = ""
    try:
        output, errors = process.communicate(timeout=_LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        problem = f"it did not end within {_LONGEST_SECONDS:g} s"
        process.terminate()  # it ends what it has started
        output, errors = process.communicate()
    except BaseException:
        end_programs([process])
        raise
    if process.returncode and not problem:
        lines = errors.strip().splitlines() or ["it says nothing"]
        problem = f"exit code {process.returncode}: {lines[-1]}"
    seconds = time.perf_counter() - start
    shown = shlex.join(["python", *command[1:]])
    return BenchmarkRun(suite, shown, out, _tables(output), problem, seconds)


def _tables(output: str) -> str:
    """Leaves out lines of progress, which tell nothing afterwards."""
    lines = output.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(("┏", "╭"))), 0)
    # A table's title stands above it.
    return "\n".join(lines[max(0, first - 1) :])
