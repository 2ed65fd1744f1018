"""A search whose store is killed again and again loses nothing, as long as a replica answers."""

import threading
import time

import pytest
from store_servers import ServerProcess

from parsl_tl import Campaign, open_store
from parsl_tl.native import native
from parsl_tl.search.progress import SearchProgress
from parsl_tl.store.connection import Connection
from parsl_tl.store.transports import connect

pytestmark = pytest.mark.slow

LONGEST_WAIT = 600


def requests_of(server, name):
    """How many requests of a kind a server has answered."""
    connection = Connection.parse(server.uri)
    client = native.ServerConnection(connect(connection), connection.address, None, 30, 30)
    rows = client.status()["requests"]
    return sum(row["count"] for row in rows if row["request"] == name)


def restart_when_asked(leader, replica, asked):
    """Starts the leader again once the replica has answered a query in its name."""
    deadline = time.monotonic() + LONGEST_WAIT
    while requests_of(replica, "best_ancestors") == asked and time.monotonic() < deadline:
        time.sleep(0.05)
    leader.start()


class KillsByCount(SearchProgress):
    """Kills the leader whenever so many evaluations have ended.

    While this works, the driver hands out nothing: the next evaluation finds the leader dead.
    """

    EACH = 6

    def __init__(self, total, leader, replica):
        super().__init__(total)
        self.leader, self.replica = leader, replica
        self.kills = 0
        self.restarts = []

    def finished(self, *args, **kwargs):
        super().finished(*args, **kwargs)
        if self.done % self.EACH or self.done == self.total:
            return
        self.wait()
        asked = requests_of(self.replica, "best_ancestors")
        self.leader.kill()
        self.kills += 1
        thread = threading.Thread(
            target=restart_when_asked, args=(self.leader, self.replica, asked)
        )
        thread.start()
        self.restarts.append(thread)

    def wait(self):
        for thread in self.restarts:
            thread.join()


def kill_every(seconds, leader, ended):
    """Kills the leader, and starts it again at once."""
    kills = 0
    while not ended.wait(seconds):
        leader.kill()
        leader.start()
        kills += 1
    return kills


def check(results, uri, count):
    assert len(results) == count
    assert results["failure"].isna().all()
    assert results["objective"].notna().all()
    assert results["transfer_error"].isna().all()  # the replica has donors
    assert results["layers_transferred"].sum() > 0
    not_stored = set(" ".join(results["not_stored"].dropna()).split())
    with open_store(uri) as store:
        assert store.is_stood_in_for == [False]
        assert store.verify().ok
        stored = {f"{i:016x}" for i in store.models()["model_id"].to_pylist()}
    # Nothing expires here: the store has every model but those that their evaluations gave up.
    assert stored == set(results["model_id"]) - not_stored
    return len(not_stored)


def run(tmp_path, count, progress=None, **uri):
    campaign = Campaign(
        "digits",
        "dense-skip",
        out=tmp_path / "run",
        max_workers=2,
        population_size=4,
        sample_size=2,
        keep_best=count,
        space_args={"num_layers": 2},
        training={"epochs": 2},
        **uri,
    )
    return campaign.search(count, progress=progress)


@pytest.fixture
def pair(tmp_path):
    """A leader, its replica, and the URI of the store."""
    leader = ServerProcess(tmp_path / "leader")
    servers = [leader]
    try:
        options = ["--follow", leader.uri, "--replicate"]
        servers.append(ServerProcess(tmp_path / "replica", "grpc+tcp://127.0.0.1:0", *options))
        yield (*servers, f"{leader.uri} replica={servers[1].uri}")
    finally:
        for server in servers:
            server.end()


def test_a_leader_is_killed_and_nothing_is_lost(tmp_path, pair):
    leader, replica, uri = pair
    count = 24
    progress = KillsByCount(count, leader, replica)
    try:
        results = run(tmp_path, count, progress, store=uri)
    finally:
        progress.wait()
    assert progress.kills == count // KillsByCount.EACH - 1
    check(results, uri, count)
    assert requests_of(replica, "best_ancestors") >= progress.kills


@pytest.mark.full
def test_a_hundred_evaluations_with_a_leader_killed_every_30_seconds(tmp_path, pair):
    leader, _, uri = pair
    ended = threading.Event()
    kills = []
    killer = threading.Thread(target=lambda: kills.append(kill_every(30, leader, ended)))
    killer.start()
    try:
        results = run(tmp_path, 100, store=uri)
    finally:
        ended.set()
        killer.join()
    assert kills[0] > 0
    assert check(results, uri, 100) == 0
