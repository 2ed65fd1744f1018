"""Servers on the ranks of a real MPI run: one store, whose addresses rank 0 tells."""

import signal
import subprocess
import sys
import time

import pytest
from followed_stores import put
from mpi_run import end_ranks, start_ranks

from parsl_tl import open_store
from parsl_tl.cli.store_ranks import on_interface

pytestmark = pytest.mark.slow

RANKS = 3
LONGEST_START = 300


def start(folder, *options, ranks=RANKS):
    addresses = folder / "addresses"
    addresses.unlink(missing_ok=True)
    return start_ranks(
        ranks,
        *("-m", "parsl_tl.cli", "store", "serve", "grpc+tcp://lo:0", "--mpi"),
        *("--data", folder / "data", "--token-file", folder / "token"),
        *("--address-file", addresses, *options),
    )


def wait_for_addresses(folder, process):
    deadline = time.monotonic() + LONGEST_START
    while not (folder / "addresses").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the servers did not start"
        time.sleep(0.05)
    return str(folder / "addresses")


def test_ranks_are_one_store_that_comes_back(tmp_path, tools):
    process = start(tmp_path)
    try:
        uri = wait_for_addresses(tmp_path, process)
        with open_store(uri) as store:
            assert len(store.servers) == RANKS
            assert all("//127.0.0.1:" in server.address for server in store.servers)
            weights = {i: put(store, tools, i, 1, 1 + i % 3) for i in range(1, 7)}
            store.put(7, tools.graph(1, 1), {}, quality=9.0, donor=6)  # held on another rank
            identities = store.identities
        for rank in range(RANKS):
            assert (tmp_path / "data" / f"server.{rank}" / "FORMAT").is_file()
        stop = [sys.executable, "-m", "parsl_tl.cli", "store", "stop", uri]
        assert subprocess.run(stop, timeout=120).returncode == 0
        code, out, err = end_ranks(process)
        assert code == 0, err
        assert out.count("stopping on request") == RANKS
        process = start(tmp_path)
        with open_store(wait_for_addresses(tmp_path, process)) as store:
            assert store.identities == identities
            assert store.find_donor(tools.graph(1, 1)).model_id == 7
            for model_id, expected in weights.items():
                assert tools.same(store.read(model_id), expected)
            assert store.verify().ok
        process.send_signal(signal.SIGTERM)  # as a batch system ends a job
        _, out, _ = end_ranks(process)
    finally:
        if process.poll() is None:
            process.kill()


def test_all_ranks_end_where_one_cannot_start(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "server.1").touch()  # where its folder would be
    code, _, err = end_ranks(start(tmp_path))
    assert code != 0
    assert "rank 1 on " in err
    assert "server.1" in err
    assert not (tmp_path / "addresses").exists()


def test_a_host_may_be_an_interface():
    assert on_interface("grpc+tcp://lo:5000") == "grpc+tcp://127.0.0.1:5000"
    for unchanged in ("grpc+tcp://localhost:1", "ofi+tcp://lo:1", "grpc+unix:///lo", "na+sm://"):
        assert on_interface(unchanged) == unchanged
