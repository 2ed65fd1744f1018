"""A benchmark that is ended takes along all that it has started, and kept in its folders."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from services import needs_redis

from parsl_tl.benchmarks.core.servers import end_programs, start_program

pytestmark = pytest.mark.slow


def family_of(process):
    """Everything that a process has started, but for what only cleans up behind it."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if "resource_tracker" not in " ".join(child.cmdline())]


def start(tmp_path, *options, until):
    """Starts a benchmark, and returns it with its family when it tells of a step."""
    command = [sys.executable, "-m", "parsl_tl.cli", "bench", *options]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert any(until in line for line in process.stdout), process.stderr.read()
    return process, family_of(process)


def ended(process, family):
    _, errors = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    return errors


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_servers_and_workers_end_with_it(tmp_path, how):
    folder = tmp_path / "folder"
    folder.mkdir()
    options = ["remote", "--quick", "--transports", "grpc+tcp", "--folder", str(folder)]
    options += ["--models", "100", "--queries", "20", "--clients", "2", "--catalogs"]
    process, family = start(tmp_path, *options, until="2 clients")
    assert any("store serve" in " ".join(child.cmdline()) for child in family)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    errors = ended(process, family)
    assert "Traceback" not in errors
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert list(folder.iterdir()) == []


@needs_redis
@pytest.mark.redis
def test_a_redis_server_ends_with_a_benchmark_that_is_killed(tmp_path):
    options = ["lcp", "--methods", "redis", "--sizes", "20000", "--folder", str(tmp_path)]
    process, family = start(tmp_path, *options, until="redis, 20,000")
    while not family:  # the server starts just behind the line
        family = family_of(process)
    process.kill()
    ended(process, family)


def test_tasks_at_work_end_with_a_benchmark_that_is_killed(tmp_path):
    options = ["generate", "--size", "9", "--keras-models", "1000000", "--folder"]
    process, family = start(tmp_path, *options, str(tmp_path), until="skip, keras")
    while not family:
        family = family_of(process)
    process.kill()
    ended(process, family)


def test_a_program_whose_parent_has_ended_before_does_not_start(tmp_path):
    touched = tmp_path / "touched"
    command = [sys.executable, "-m", "parsl_tl.parent_death", "1", "touch", str(touched)]
    assert subprocess.run(command).returncode == 0
    assert not touched.exists()
    program = start_program(["touch", str(touched)])
    assert program.wait() == 0
    assert touched.exists()
    end_programs([program])
