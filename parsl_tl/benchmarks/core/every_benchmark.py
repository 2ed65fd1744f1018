"""A small run of every benchmark, each in a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from parsl_tl.benchmarks.core.suite import Progress
from parsl_tl.errors import InvalidValueError

_LONGEST_SECONDS = 900.0


class SmallBenchmark(NamedTuple):
    """One benchmark in a size for a first look.

    Attributes:
        name: of its command and its folder, and to choose it by.
        title: above its results.
        question: what it answers.
        options: of the command.
        folder_option: the option that says where temporary files go; empty if there is none.
        program: words behind ``python``.
    """

    name: str
    title: str
    question: str
    options: tuple[str, ...] = ("--quick",)
    folder_option: str = "--folder"
    program: tuple[str, ...] = ("-m", "parsl_tl.cli", "bench")

    def command(self, out: Path, folder: Path | None) -> list[str]:
        """Returns the command line."""
        command = [sys.executable, *self.program, self.name, *self.options, "--out", str(out)]
        if folder is not None and self.folder_option:
            command += [self.folder_option, str(folder)]
        return command


_DENSE: Final = ("--model", "dense:16x10")
SMALL_BENCHMARKS: Final = (
    SmallBenchmark(
        "transfer",
        "Transfer methods",
        "How long do models take to take over weights and to be stored, by each method?",
        ("--n-iter", "5", "--rates", "10", "50", "--rate-seconds", "2"),
    ),
    SmallBenchmark(
        "writes",
        "Writing from many processes",
        "How long does saving a model take, in every format, from two processes at once?",
        (*_DENSE, "--num-changes", "0", "9"),
    ),
    SmallBenchmark(
        "save",
        "Saving and loading whole models",
        "How long do a save and a load take, and does every byte come back?",
        _DENSE,
    ),
    SmallBenchmark(
        "load",
        "Reading some of the layers",
        "What does reading a tenth of a model cost beside reading all of it?",
        _DENSE,
    ),
    SmallBenchmark(
        "lcp",
        "Finding the donor",
        "How long does it take to find the model with the longest common prefix?",
    ),
    SmallBenchmark(
        "store",
        "Writing and reading weights",
        "How fast is the store beside files and Redis, from one process and from several?",
        folder_option="--folders",
    ),
    SmallBenchmark(
        "remote", "A store on servers", "What do servers cost, beside their transports alone?"
    ),
    SmallBenchmark(
        "generate",
        "Generating populations",
        "How many models a second are generated, beside building each with Keras?",
    ),
)


class BenchmarkRun(NamedTuple):
    """What came of a benchmark.

    Attributes:
        benchmark: which one.
        command: as a user types it.
        folder: with its files.
        output: its tables.
        problem: why it failed; empty if it did not.
        seconds: it took.
    """

    benchmark: SmallBenchmark
    command: str
    folder: Path
    output: str
    problem: str
    seconds: float


def run_benchmarks(
    names: Sequence[str], out: Path, folder: Path | None, progress: Progress
) -> list[BenchmarkRun]:
    """Runs benchmarks, one after the other; one that fails does not end the others.

    Args:
        names: of ``SMALL_BENCHMARKS``; none for all.
        out: each gets a folder in it.
        folder: for temporary files; the benchmarks' own choice if None.
        progress: called before each.

    Raises:
        InvalidValueError: an unknown name.
    """
    known = {benchmark.name: benchmark for benchmark in SMALL_BENCHMARKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidValueError(
            f"there is no benchmark {unknown[0]!r}; choose from {', '.join(known)}"
        )
    chosen = [known[name] for name in names] or list(known.values())
    runs = []
    for number, benchmark in enumerate(chosen):
        progress(number / len(chosen), benchmark.title)
        runs.append(_run(benchmark, out / benchmark.name, folder))
    progress(1.0, "done")
    return runs


def _run(benchmark: SmallBenchmark, out: Path, folder: Path | None) -> BenchmarkRun:
    command = benchmark.command(out, folder)
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tables of a fixed width, and without colours.
        env={**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    problem = ""
    try:
        output, errors = process.communicate(timeout=_LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        problem = f"it did not end within {_LONGEST_SECONDS:g} s"
    except BaseException:  # Ctrl-C has reached it, too: it cleans up, and so do we
        process.wait()
        raise
    if process.returncode and not problem:
        lines = errors.strip().splitlines() or ["it says nothing"]
        problem = f"exit code {process.returncode}: {lines[-1]}"
    seconds = time.perf_counter() - start
    shown = shlex.join(["python", *command[1:]])
    return BenchmarkRun(benchmark, shown, out, _tables(output), problem, seconds)


def _tables(output: str) -> str:
    """Leaves out lines of progress, which tell nothing afterwards."""
    lines = output.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(("┏", "╭"))), 0)
    # A table's title stands above it.
    return "\n".join(lines[max(0, first - 1) :])
