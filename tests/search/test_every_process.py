"""Whichever process of a search is killed or stopped, all its evaluations come to their end."""

import signal
import subprocess
import sys

import psutil
import pytest
import zmq
from fault_runs import FaultRun

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


@pytest.mark.full
@pytest.mark.parametrize(
    "role", ["interchange", "submission", "shell", "manager", "tracker", "template", "worker"]
)
def test_any_other_process_is_killed(run, role):
    check(run, role, signal.SIGKILL)


@pytest.mark.full
@pytest.mark.parametrize("role", ["interchange", "manager", "template", "helper"])
def test_a_process_is_silent(run, role):
    check(run, role, signal.SIGSTOP)


@pytest.mark.full
def test_a_pool_whose_interchange_goes_away_at_its_start_ends(tmp_path):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as interchange:
        port = interchange.bind_to_random_port("tcp://127.0.0.1")
        options = f"-a 127.0.0.1 --port {port} --cert_dir None --logdir {tmp_path} --block_id 0"
        sizes = "-c 0.01 -m None --max_workers_per_node 1 --hb_period 1 --hb_threshold 10"
        others = "--drain_period None --cpu-affinity none --mpi-launcher mpiexec"
        pool = subprocess.Popen(
            [sys.executable, "-m", "parsl_tl.worker_pool", *f"{options} {sizes} {others}".split()],
            stderr=subprocess.PIPE,
            text=True,
        )
        # It finds the interchange, connects, and gets no answer any more.
        interchange.send_multipart(interchange.recv_multipart())
        children = []
        try:
            interchange.recv_multipart()
            children = psutil.Process(pool.pid).children(recursive=True)
            _, errors = pool.communicate(timeout=240)
        finally:
            pool.kill()
        assert pool.returncode == 1
        assert "Interchange-Communicator has ended" in errors
        assert psutil.wait_procs(children, timeout=60)[1] == []
