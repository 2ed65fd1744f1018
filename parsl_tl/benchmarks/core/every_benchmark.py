"""A small run of every benchmark, each in a process of its own, and one page with all results."""

from __future__ import annotations

import html
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from parsl_tl.benchmarks.core.servers import end_programs, start_program
from parsl_tl.benchmarks.core.suite import Progress, Suite, all_suites, in_steps
from parsl_tl.errors import InvalidValueError
from parsl_tl.reporting.files import replace_file
from parsl_tl.reporting.machine import machine_facts
from parsl_tl.reporting.page import page, picture

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
    flag = next((name for name in ("folder", "folders") if hasattr(suite, name)), "")
    return command if folder is None or not flag else [*command, f"--{flag}", str(folder)]


def run_benchmarks(
    names: Sequence[str], out: Path, folder: Path | None, progress: Progress
) -> list[BenchmarkRun]:
    """Runs benchmarks, one after the other; one that fails does not end the others.

    Without names, all that have a small run; each gets a folder in ``out``. Temporary files go into
    the folder, or where the benchmarks choose.

    Raises:
        InvalidValueError: an unknown name.
    """
    known = {name: suite for name, suite in all_suites().items() if suite.small}
    if unknown := [name for name in names if name not in known]:
        choices = ", ".join(known)
        raise InvalidValueError(f"there is no benchmark {unknown[0]!r}; choose from {choices}")
    steps = [(known[name].title, known[name]) for name in names or known]
    return [_run(suite, out / suite.name, folder) for suite in in_steps(progress, steps)]


def _run(suite: Suite, out: Path, folder: Path | None) -> BenchmarkRun:
    command, start, problem = small_command(suite, out, folder), time.perf_counter(), ""
    # Tables of a fixed width, and without colours.
    env = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    process = start_program(command, env=env, stdout=pipe, stderr=pipe, text=True)
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
    # Lines of progress tell nothing afterwards; a table's title stands above it.
    lines = output.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(("┏", "╭"))), 0)
    shown, tables = shlex.join(["python", *command[1:]]), "\n".join(lines[max(0, first - 1) :])
    return BenchmarkRun(suite, shown, out, tables, problem, time.perf_counter() - start)


def write_page(runs: Sequence[BenchmarkRun], path: Path) -> Path:
    """Writes the page, a single HTML file with plots inside; it appears by rename."""
    links = "".join(
        f'<a href="#{run.suite.name}">{html.escape(run.suite.title)}</a>' for run in runs
    )
    text = page(
        "parsl_tl on this machine",
        f"<h1>parsl_tl on this machine</h1>{_facts()}<nav>{links}</nav>"
        f"{''.join(map(_section, runs))}",
    )
    return replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _facts() -> str:
    facts = machine_facts()
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    text = (
        f"{time.strftime('%Y-%m-%d %H:%M')} · {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['memory_bytes'] / 1e9:.0f} GB · {facts['kernel']}, Python {facts['python']} · "
        f"{packages}"
    )
    return f'<p class="facts">{html.escape(text)}</p>'


def _section(run: BenchmarkRun) -> str:
    parts = [
        f'<h2 id="{run.suite.name}">{html.escape(run.suite.title)}</h2>',
        f"<p>Measures {html.escape(run.suite.text)}.</p>",
        f'<p class="command">{run.seconds:.0f} s · <code>{html.escape(run.command)}</code></p>',
    ]
    if run.problem:
        parts.append(f'<p class="problem">Not finished: {html.escape(run.problem)}</p>')
    if run.output.strip():
        parts.append(f"<pre>{html.escape(run.output)}</pre>")
    for plot in sorted(run.folder.glob("*.png")):
        parts.append(picture(plot, plot.stem.replace("_", " ")))
    return "".join(parts)
