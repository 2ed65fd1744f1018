"""Whichever process of a search is killed or stopped, all its evaluations come to their end."""

import signal

import pytest
from fault_runs import FaultRun, every_fault

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    run = FaultRun.campaign(tmp_path, 30)
    yield run
    run.kill_all()


def check(run, role, number):
    run.wait_until_finished(6)
    process = run.roles()[role]
    process.send_signal(number)
    assert run.wait() == 0, run.text()
    assert sorted(event["config"]["job"] for event in run.finished()) == list(range(30))
    assert all(isinstance(event["objective"], float) for event in run.finished())


def test_the_process_that_workers_share_data_through_is_killed(run):
    check(run, "helper", signal.SIGKILL)


@every_fault
@pytest.mark.parametrize(
    "role", ["interchange", "submission", "shell", "manager", "tracker", "worker"]
)
def test_any_other_process_is_killed(run, role):
    check(run, role, signal.SIGKILL)


@every_fault
@pytest.mark.parametrize("role", ["interchange", "manager", "helper"])
def test_a_process_is_silent(run, role):
    check(run, role, signal.SIGSTOP)
