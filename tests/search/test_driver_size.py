"""A driver fits on a login node that lets a user have 128 processes and threads in all."""

import json
import subprocess
import sys

import psutil
import pytest
from fault_runs import FaultRun

pytestmark = pytest.mark.slow

MOST = 128
# A shell with a terminal multiplexer, an editor's server, and a second look at the search.
OF_THE_USER = 64


def driver_of(run):
    """Returns the process that searches and those that it needs, without those of its blocks."""
    found, rest = [], [psutil.Process(run.process.pid)]
    while rest:
        process = rest.pop()
        if process.name() not in ("sh", "bash"):  # of a block, which is elsewhere
            found.append(process)
            rest += process.children()
    return found


def test_a_driver_needs_few_threads_and_no_framework(tmp_path):
    run = FaultRun.campaign(tmp_path, 20, "--store", "cluster")
    try:
        run.wait_until_finished(3)
        processes = driver_of(run)
        threads = {" ".join(p.cmdline()[1:4])[-60:]: p.num_threads() for p in processes}
        maps = [mapped.path for p in processes for mapped in p.memory_maps()]
        seen = max(sum(p.num_threads() for p in processes) for _ in range(20))
        print(f"{len(processes)} processes, {seen} threads: {threads}")
        assert len(processes) >= 2  # the interchange is another one
        assert seen <= MOST - OF_THE_USER
        assert not [path for path in maps if "tensorflow" in path or "libtorch" in path]
        assert run.wait() == 0, run.text()
    finally:
        run.kill_all()


def test_libraries_start_no_thread_for_each_core():
    code = (
        "import json, os; before = dict(os.environ)\n"
        "from parsl_tl.cli.light_driver import import_with_few_threads as load; load()\n"
        "import pyarrow, threadpoolctl\n"
        "pools = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "print(json.dumps([pools, pyarrow.cpu_count(), dict(os.environ) == before]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pools, arrow, is_unchanged = json.loads(done.stdout)
    assert len(pools) >= 2  # numpy's and scipy's
    assert set(pools) == {1}
    assert arrow == 1
    assert is_unchanged
