"""A driver fits on a login node that lets a user have 128 processes and threads in all."""

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


@pytest.mark.parametrize("options", [(), ("--store", "cluster")], ids=["own store", "cluster"])
def test_a_driver_needs_few_threads_and_no_framework(tmp_path, monkeypatch, options):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")  # as many as the node has cores
    run = FaultRun.campaign(tmp_path, 30, *options)
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
