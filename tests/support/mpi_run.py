"""Runs Python programs on several MPI ranks, and ends them whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def find_mpiexec():
    """The launcher beside this Python, which belongs to its MPI, or the one on the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip(
            "NO MPI WAS TESTED: there is no mpiexec, neither beside this Python nor on the path; "
            "pip install 'parsl-tl[mpi]'"
        )
    return found


def start_ranks(num_ranks, *arguments, **options):
    """Starts a Python program on a number of ranks, in a process group of its own."""
    command = [find_mpiexec(), "-n", str(num_ranks), sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def end_ranks(process, timeout=120):
    """Waits for the end; returns exit code, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"the ranks did not end within {timeout} s:\n{out}\n{err}")
    return process.returncode, out, err


def run_ranks(num_ranks, *arguments, timeout=120, **options):
    """Runs a Python program on a number of ranks; see ``end_ranks``."""
    return end_ranks(start_ranks(num_ranks, *arguments, **options), timeout)
