"""Workers, managers and blocks that are lost cost no evaluation."""

import json

import psutil
import pytest
from fault_runs import FaultRun, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    runs = []

    def started(max_evals, fault=""):
        runs.append(FaultRun.sleeping(tmp_path, max_evals, fault))
        return runs[-1]

    yield started
    for run in runs:
        run.kill_all()


def assert_complete(run, max_evals):
    """All evaluations have their own result, and none a failure's."""
    assert run.wait() == 0, run.text()
    objectives = json.loads((run.folder / "results.json").read_text())
    assert len(set(objectives)) == max_evals
    assert all(isinstance(objective, float) for objective in objectives)
    # One that came to its end as its worker was killed may be evaluated again, and no other.
    assert len(run.evaluated()) <= max_evals + 2


@pytest.mark.full
def test_a_worker_that_is_killed(start):
    run = start(30)
    run.wait_until_evaluated(4)
    for worker in run.workers():
        worker.kill()
    assert_complete(run, 30)


@pytest.mark.full
def test_an_idle_worker_that_is_killed(start):
    """It may hold the lock of the queue of tasks, which the other workers wait for then."""
    run = start(40, "spare-worker")
    run.wait_until_evaluated(6)
    run.roles()["idle worker"].kill()
    assert_complete(run, 40)


def test_a_manager_that_is_killed(start):
    run = start(24)
    run.wait_until_evaluated(4)
    (manager,) = run.managers()
    family = [manager, *manager.children(recursive=True)]
    manager.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive  # its workers end with it
    assert_complete(run, 24)


@pytest.mark.parametrize(
    ("fault", "max_evals"),
    [
        ("block-exits-137", 24),
        pytest.param("block-exits-0", 24, marks=pytest.mark.full),
        pytest.param("block-is-drained", 250, marks=pytest.mark.full),
    ],
)
def test_blocks_that_end_while_there_is_work(start, fault, max_evals):
    run = start(max_evals, fault)
    assert_complete(run, max_evals)
    assert len({line.split()[1] for line in run.evaluated()}) > 1  # it took several


def test_blocks_that_cannot_start_end_the_search_and_say_why(start):
    run = start(6, "all-fail")
    assert run.wait() == 3
    assert "no such module" in run.text()
    assert "exit code 7" in run.text().lower()
    assert "Traceback" not in run.text()


def test_an_executor_that_never_starts_holds_nothing(start):
    assert_complete(start(24, "one-never-starts"), 24)


@pytest.mark.full
def test_an_executor_that_fails_at_its_start_holds_nothing(start):
    assert_complete(start(40, "one-fails"), 40)


@pytest.mark.full
@pytest.mark.parametrize("what", ["manager", "interchange"])
def test_one_of_two_executors_dies(start, what):
    run = start(60, "two")
    run.wait_until_evaluated(6)
    wait_for(lambda: run.managers("other"), "the other executor")
    if what == "manager":
        run.managers("other")[0].kill()
    else:
        run.interchanges()[0].kill()
    assert_complete(run, 60)
