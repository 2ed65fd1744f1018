"""Searches that lose their interchange, driver, executors or folder lose no evaluation."""

import contextlib
import os
import signal
import subprocess

import pytest
from fault_runs import FaultRun

pytestmark = pytest.mark.slow


@pytest.fixture
def campaign(tmp_path):
    runs = []

    def started(max_evals, *options, fault=""):
        runs.append(FaultRun.campaign(tmp_path, max_evals, *options, fault=fault))
        return runs[-1]

    yield started
    for run in runs:
        run.kill_all()


def jobs(events):
    return [event["config"]["job"] for event in events]


def test_a_search_goes_on_when_its_interchange_is_killed(campaign):
    run = campaign(12)
    run.wait_until_finished(2)
    (interchange,) = run.interchanges()
    interchange.kill()
    assert run.wait() == 0, run.text()
    assert sorted(jobs(run.finished())) == list(range(12))
    assert all(isinstance(event["objective"], float) for event in run.finished())
    log = (run.folder / "run" / "campaign.log").read_text()
    assert "the executors are started anew" in log
    assert "exit code -9" in log


def test_a_driver_that_is_killed_leaves_no_process_and_is_carried_on(campaign):
    run = campaign(40)
    run.wait_until_finished(3)
    run.process.kill()
    assert run.wait() == -signal.SIGKILL
    done = len(run.finished())
    again = campaign(done + 3)
    assert again.wait() == 0, again.text()
    assert sorted(jobs(again.finished())) == list(range(done + 3))


def test_a_search_that_nothing_runs_ends_with_its_own_exit_code(campaign):
    run = campaign(6, fault="all-fail")
    assert run.wait() == 3
    assert "no such module" in run.text()
    assert "--resume" in run.text()
    assert "Traceback" not in run.text()
    assert run.finished() == []
    again = campaign(3)
    assert again.wait() == 0, again.text()
    assert set(jobs(again.finished())) <= set(range(6))


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a file system of a small size")
    yield folder
    # Lazily: what the test has started may still be ending.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_folder_that_is_full_ends_the_search_and_loses_nothing(campaign, small_disk, tmp_path):
    run = campaign(40, "--store", f"embedded:{tmp_path / 'store'}")
    run.wait_until_finished(2)
    with open(small_disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    assert run.wait() == 3, run.text()
    assert "No space left" in run.text()
    assert "Traceback" not in run.text()
    (small_disk / "filler").unlink()
    done = len(run.finished())
    again = campaign(done + 2)
    assert again.wait() == 0, again.text()
    assert len(set(jobs(again.finished()))) == len(jobs(again.finished())) == done + 2
