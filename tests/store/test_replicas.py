"""Server processes that are killed: followers go on where they were, replicas take over."""

import subprocess
import sys

import numpy as np
import pytest
from followed_stores import put, wait_for
from store_population import ids_of, put_population
from store_servers import ServerProcess

from parsl_tl import open_store
from parsl_tl.errors import InvalidValueError
from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.copies import promote
from parsl_tl.store.transports import connect

pytestmark = pytest.mark.slow

PLACE = "grpc+tcp://127.0.0.1:0"


def run(*arguments):
    command = [sys.executable, "-m", "parsl_tl.cli", "store", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def followed(server):
    connection = Connection.parse(server.uri)
    client = native.ServerConnection(connect(connection), connection.address, None, 10, 10)
    return client.followed()[0]


def copy_of(server):
    [path] = (server.folder / "followed").glob("[0-9a-f]*/FORMAT")
    return path.parent


@pytest.fixture
def pair(tmp_path):
    """Starts a leader and a follower with options; ends both."""
    servers = []

    def start(*options):
        leader = ServerProcess(tmp_path / "leader", PLACE)
        servers.append(leader)
        follow = ["--follow", leader.address_file, *options]
        servers.append(ServerProcess(tmp_path / "follower", PLACE, *follow))
        return servers

    yield start
    for server in servers:
        server.end()


def test_both_sites_are_killed_again_and_again(pair, tmp_path):
    leader, follower = pair()
    rng = np.random.default_rng(0)
    stored = []
    for turn in range(6):
        with open_store(leader.uri, retry_seconds=30) as store:
            ids = range(10_000 * turn, 10_000 * turn + 3_000)
            put_population(store, ids)
            for model_id in rng.choice(ids, 20, replace=False).tolist():
                store.retire(model_id)
            if turn == 3:
                store.compact()
            stored = ids_of(store)
        victim = (leader, follower)[turn % 2]
        victim.kill()
        victim.start()
    wait_for(
        lambda: followed(follower)["models"] == len(stored) and not followed(follower)["problem"],
        "it is current",
    )
    with open_store(f"embedded:{copy_of(follower)}", read_only=True) as copy:
        assert ids_of(copy) == stored
        assert copy.verify().ok


def test_a_replica_takes_over(pair, tmp_path, tools):
    leader, follower = pair("--replicate")
    with open_store(leader.uri) as store:
        weights = {i: put(store, tools, i, 1, 1 + i % 3) for i in range(1, 6)}
        store.put(9, tools.graph(1, 1), {}, quality=0.1, donor=3)  # owns nothing
        store.retire(4)
        del weights[4]
        identity = store.identities
    wait_for(
        lambda: followed(follower)["models"] == 5 and followed(follower)["segments_pulled"] >= 4,
        "all weights came",
    )
    leader.kill()
    with open_store(follower.uri) as store:  # reads go on
        for i, expected in weights.items():
            assert tools.same(store.read(i), expected)
    result = run("promote", follower.folder)
    assert result.returncode == 0, result.stderr
    assert "promoted" in result.stdout
    new = ServerProcess(copy_of(follower), PLACE)
    try:
        with open_store(new.uri) as store:
            assert store.identities == identity
            assert store.verify().ok
            put(store, tools, 10, 3, 3)
            store.retire(5)
            # The follower, which has not been started anew, reads on.
            with open_store(follower.uri) as other:
                wait_for(lambda: 10 in other and 5 not in other, "it sees what comes")
    finally:
        new.end()


def test_what_did_not_come_over_is_given_up_by_name(pair, tmp_path, tools):
    leader, follower = pair()
    with open_store(leader.uri) as store, open_store(follower.uri) as near:
        weights = put(store, tools, 1, 1)
        put(store, tools, 2, 2, 2)
        wait_for(lambda: 2 in near, "it comes")
        near.read(1)
    leader.kill()
    follower.kill()
    result = run("promote", follower.folder)
    assert result.returncode == 1
    assert f"{2:016x}" in result.stdout
    assert promote(follower.folder, only_look=True).lost_models == [2]
    folder = copy_of(follower)
    assert run("promote", follower.folder, "--yes").returncode == 0
    with open_store(f"embedded:{folder}") as store:
        assert ids_of(store) == [1]
        assert tools.same(store.read(1), weights)
        assert store.verify().ok
    with pytest.raises(InvalidValueError, match="no copy"):
        promote(folder)


def test_status_tells_who_is_followed(pair, tools):
    leader, follower = pair("--follow-budget", "1MB")
    with open_store(leader.uri) as store, open_store(follower.uri) as near:
        put(store, tools, 1, 1)
        wait_for(lambda: 1 in near, "it comes")
        near.read(1)
    told = run("status", follower.address_file).stdout
    assert str(leader.address_file) in told.replace("\n", "")
    assert "0 behind" in told
    told = run("info", follower.address_file).stdout
    assert "followed models" in told
