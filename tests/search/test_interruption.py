"""Ctrl-C, which a terminal sends to every process that was started from it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.slow
PROGRAM = [sys.executable, "-m", "parsl_tl.cli"]


def interrupt(command, is_at_work):
    """Starts a command, sends Ctrl-C to all its processes, and returns exit code and output."""
    process = subprocess.Popen(
        [*PROGRAM, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # What starts tests in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not is_at_work():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        left = [child for child in family if child.is_running()]
        _, alive = psutil.wait_procs(left, timeout=20)
        for child in alive:
            child.kill()
    assert not alive
    return process.returncode, output


def test_a_search_stops_and_is_carried_on(tmp_path):
    out = tmp_path / "run"
    journal = out / "journal.jsonl"
    command = ["search", "--problem", "digits", "--space", "dense-skip", "--epochs", "2"]
    code, output = interrupt(
        [*command, "--max-evals", "200", "--out", str(out), "--workers", "2"],
        lambda: journal.exists() and b"finished" in journal.read_bytes(),
    )
    assert code == 130
    assert "--resume" in output
    assert "Traceback" not in output
    assert (out / "results.csv").exists()
    done = journal.read_bytes().count(b'"finished"')
    resume = ["search", "--resume", "--out", str(out), "--max-evals", str(done + 2)]
    subprocess.run([*PROGRAM, *resume], check=True, capture_output=True)
    assert journal.read_bytes().count(b'"finished"') == done + 2


def test_generating_leaves_nothing_half_written(tmp_path):
    out = tmp_path / "population"
    command = ["generate", "--output-dir", str(out), "--workers", "2", "--parts", "2"]
    subprocess.run([*PROGRAM, *command, "--population-size", "20"], check=True, capture_output=True)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    code, output = interrupt(
        [*command, "--population-size", "400000", "--seed", "1"],
        lambda: (out / ".models_0.json.part").exists(),
    )
    assert code == 130
    assert "Traceback" not in output
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
