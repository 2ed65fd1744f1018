"""What workers load before their first task, in pools that run."""

from __future__ import annotations

import os
import signal
import stat

import parsl
import psutil
import pytest
import start_steps
from fault_runs import SUPPORT, wait_for
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from parsl_tl.configuration import load_config
from parsl_tl.parsl_kernel import parsl_kernel
from parsl_tl.problems import Digits
from parsl_tl.training.worker_start import worker_start
from parsl_tl.worker_pool import COMMAND, _has_accelerators, _take_option
from parsl_tl.worker_start import OPTION, WorkerStart, with_worker_start


def start(**arguments):
    return WorkerStart("start_steps:imports", "start_steps:prepares", arguments)


class Pool:
    """A pool with two workers."""

    def __init__(self, kernel):
        self.app = parsl.python_app(start_steps.look, data_flow_kernel=kernel, cache=False)
        self.die = parsl.python_app(start_steps.die, data_flow_kernel=kernel, cache=False)

    def looks(self):
        """What tasks see, once both workers have done one."""
        seen = {}

        def all_seen():
            try:
                results = [future.result() for future in map(self.app, range(4))]
            except ManagerLost:
                return False
            seen.update((result["worker"], result) for result in results)
            return len(seen) == 2

        wait_for(all_seen, "a task in each worker")
        return list(seen.values())


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    return load_config(SUPPORT / "fault_config.py", max_workers=2, run_dir=str(tmp_path))


def test_nodes_are_asked_for_at_once_and_then_looked_after_as_configured(config):
    config.strategy_period = 30
    with parsl_kernel(config) as kernel:
        (executor,) = config.executors
        assert executor.blocks_to_job_id  # Parsl alone would have some after half a minute
        assert kernel.job_status_poller.interval == config.strategy_period == 30


@pytest.fixture
def pool(config, request):
    with parsl_kernel(config, start(fault=request.param)) as kernel:
        yield Pool(kernel)


@pytest.mark.slow
@pytest.mark.parametrize("pool", [None], indirect=True)
def test_workers_begin_with_what_their_template_has_imported(pool):
    looks = pool.looks()
    (template,) = {look["imported_by"] for look in looks}
    assert {look["parent"] for look in looks} == {template}
    assert [look["prepared_with"] for look in looks] == [{"fault": None}] * 2
    assert len({look["drawn"] for look in looks}) == 2  # each has random numbers of its own
    # A worker that is lost is forked anew.
    with pytest.raises(WorkerLost):
        pool.die().result()
    looks = pool.looks()
    assert {look["parent"] for look in looks} == {template}
    # With the template its workers end, and others come.
    workers = [psutil.Process(look["worker"]) for look in looks]
    os.kill(template, signal.SIGKILL)
    psutil.wait_procs(workers, timeout=60)
    assert not any(worker.is_running() for worker in workers)
    (another,) = {look["imported_by"] for look in pool.looks()}
    assert another != template


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["raises", "thread"], indirect=True)
def test_a_template_that_fails_costs_nothing_but_time(pool, request):
    for look in pool.looks():
        assert look["prepared_with"] is not None
        if request.node.callspec.params["pool"] == "thread":  # which no fork would have
            assert look["imported_by"] is None


@pytest.mark.slow
def test_workers_that_are_told_nothing_are_forked_from_one_that_has_parsl(config):
    with parsl_kernel(config) as kernel:
        app = parsl.python_app(start_steps.parent, data_flow_kernel=kernel, cache=False)
        found = [app(number).result() for number in range(3)]
    (command,) = {parent["command"] for parent in found}
    assert "parsl_tl.worker_template" in command
    # What the template has loaded is out of the sight of its workers' collectors.
    assert all(parent["frozen"] > 10_000 for parent in found)


def test_the_command_names_the_file(tmp_path):
    path = tmp_path / "a folder" / "start.json"
    start(threads=2).write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert WorkerStart.read(path) == start(threads=2)
    assert WorkerStart.read(tmp_path / "no such file") is None
    command = with_worker_start(f"{COMMAND} {{debug}} -a {{addresses}}", path)
    assert command.format(debug="", addresses="x") == f"{COMMAND} {OPTION} '{path}'  -a x"
    argv = [COMMAND, OPTION, str(path), "-a", "x"]
    assert _take_option(argv) == str(path)
    assert argv == [COMMAND, "-a", "x"]
    assert _take_option(argv) is None


def test_workers_that_look_results_up_load_nothing():
    class Table(Digits):
        def look_up(self, space, arch_seq):
            return {"objective": 1.0, "seconds": 0.0}

    assert worker_start(Table(), {}) is None
    assert worker_start(Digits(), {"seed": 1}).arguments == {"seed": 1}


@pytest.mark.parametrize(
    ("options", "has_some"), [("", False), ("0 1", True), ("--mpi-launcher x", False)]
)
def test_pools_with_accelerators_fork_nothing(options, has_some):
    assert _has_accelerators(["pool", "--available-accelerators", *options.split()]) is has_some
    assert not _has_accelerators(["pool"])
