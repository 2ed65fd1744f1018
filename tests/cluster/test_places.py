"""Who gets the place of a server, what counts as lost, and what is refused."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import node_pools
import parsl
import pytest
from parsl.executors import ThreadPoolExecutor

from parsl_tl import load_config
from parsl_tl.cluster import StoreCluster
from parsl_tl.cluster.models import Models
from parsl_tl.cluster.node import address_of_node
from parsl_tl.cluster.place import Holder, Place, PlaceState
from parsl_tl.cluster.plan import ClusterPlan
from parsl_tl.cluster.request import ClusterRequest, is_request
from parsl_tl.errors import ConfigError, InvalidValueError
from parsl_tl.parsl_reuse import startable
from parsl_tl.store import open_store

LONG = 1000.0


def test_a_place_has_one_holder(tmp_path):
    mine, other = Place(tmp_path, 0), Place(tmp_path, 0)
    assert mine.take(LONG)
    assert not other.take(LONG)
    assert mine.beat()
    mine.release()
    assert other.take(LONG)
    assert not mine.beat()  # it was taken meanwhile
    assert other.is_held(LONG)


def hold_as(place, **changes):
    (file,) = place.folder.glob("holder.*")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_holder_that_died_or_is_silent_has_lost_its_place(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    place = Place(tmp_path, 0)
    assert place.take(LONG)
    hold_as(place, pid=ended.pid)
    assert Place(tmp_path, 0).take(LONG)

    place = Place(tmp_path, 1)
    assert place.take(LONG)
    hold_as(place, host="another-node")
    assert not Place(tmp_path, 1).take(LONG)
    (file,) = place.folder.glob("holder.*")
    os.utime(file, (1, 1))
    later = Place(tmp_path, 1)
    assert later.take(LONG)
    assert later.holder() == Holder.this_process()
    assert not place.beat()


def models_of(tmp_path, state, *, generation="now", number=0):
    plan = ClusterPlan(
        folder=str(tmp_path / "shared"),
        generation=generation,
        servers=1,
        data=str(tmp_path / "disk"),
    )
    place = Place(plan.folder, number)
    place.folder.mkdir(parents=True, exist_ok=True)
    if state is not None:
        place.leave(state)
    return Models(plan, place)


def test_models_are_served_where_all_of_them_are(tmp_path):
    here = socket.gethostname()
    models = models_of(tmp_path, None)
    assert models.are_at_hand()
    open_store(f"embedded:{models.folder}").close()
    models.note(complete=False)
    assert models.are_at_hand()
    state = PlaceState(**json.loads((tmp_path / "shared/server.0/state.json").read_text()))
    assert (state.host, state.generation, state.complete) == (here, "now", False)

    # On a node that is gone, they are lost to this run; what was kept before does for the next.
    gone = replace(state, host="another-node")
    assert not models_of(tmp_path, gone).are_at_hand()
    assert models_of(tmp_path, gone, generation="later").are_at_hand()
    swapped = replace(state, identity="0" * 32)
    assert not models_of(tmp_path, swapped).are_at_hand()

    models = models_of(tmp_path, state)
    models.keep()
    assert not models.folder.exists()
    kept = replace(state, complete=True, host="another-node")
    models = models_of(tmp_path, kept)
    assert models.are_at_hand()
    models.bring()
    with open_store(f"embedded:{models.folder}", read_only=True) as store:
        assert store.identities == [state.identity]


def test_what_cannot_be_is_refused(tmp_path):
    threads = parsl.Config(executors=[ThreadPoolExecutor(label="threads")])
    with pytest.raises(ConfigError, match="threads"):
        StoreCluster(threads, tmp_path)
    with pytest.raises(ConfigError, match="3 servers need 3 nodes, and the configuration has 2"):
        StoreCluster(node_pools.config(), tmp_path, 3)
    for options in ({"scheme": "na+sm"}, {"scheme": "carrier-pigeon"}):
        with pytest.raises(ConfigError, match="scheme="):
            StoreCluster(node_pools.config(), tmp_path, **options)
    with pytest.raises(InvalidValueError, match="memory"):
        StoreCluster(node_pools.config(), tmp_path, durability="memory")
    with pytest.raises(InvalidValueError, match="servers=0"):
        StoreCluster(node_pools.config(), tmp_path, 0)
    for number in range(2):
        models_of(tmp_path, PlaceState("node", "", "before", True), number=number)
    with pytest.raises(InvalidValueError, match="has 2 servers"):
        StoreCluster(node_pools.config(), tmp_path / "shared", 1)
    assert len(StoreCluster(node_pools.config(), tmp_path / "shared").places) == 2
    with pytest.raises(InvalidValueError, match="no cluster of store servers"):
        open_store(f"cluster:{tmp_path}")


def test_blocks_that_serve_are_started_and_stay():
    config = node_pools.config(nodes=4)
    cluster = StoreCluster(config, "unused", 3)
    (executor,) = config.executors
    assert len(cluster.places) == 3
    assert (executor.provider.init_blocks, executor.provider.min_blocks) == (3, 3)
    assert executor.launch_cmd.startswith("parsl-tl-worker-pool --node-store ")


def test_what_a_search_asks_for():
    assert is_request("cluster")
    assert is_request("cluster:2?data=/tmp")
    assert not is_request("cluster:/a/folder")
    assert not is_request("embedded:")
    found = ClusterRequest.parse("cluster:2?data=/local/scratch&scheme=ofi+tcp&memory_limit=8GB")
    assert found.servers == 2
    assert found.options == {
        "data": "/local/scratch",
        "scheme": "ofi+tcp",
        "memory_limit": 8 * 10**9,
    }
    assert ClusterRequest.parse(str(found)) == found
    for text in ("cluster:0", "cluster:many"):
        with pytest.raises(InvalidValueError, match="cluster:N"):
            ClusterRequest.parse(text)
    with pytest.raises(InvalidValueError, match="did you mean 'scheme'"):
        ClusterRequest.parse("cluster?schema=ofi+tcp")


def test_the_machine_says_interface_and_transport(monkeypatch):
    from parsl_tl.cluster import nodes

    def transport(name, has_thallium=True):
        monkeypatch.setattr(nodes, "has_thallium", lambda: has_thallium)
        config = startable(load_config(f"{name}&address=127.0.0.1"))
        return nodes.choose_transport(config.executors, None, None)

    inside = "frontier?inside_job=true&nodes_per_block=4"
    assert transport(inside) == ("ofi+cxi", ("hsn0",))
    assert transport(inside, has_thallium=False) == ("grpc+tcp", ("hsn0",))
    # From a login node, on the way that workers take to it.
    assert transport("frontier?account=x") == ("grpc+tcp", ())


def test_a_node_is_reached_by_its_interface_or_on_the_way_to_the_driver():
    assert address_of_node(("none0", "lo"), ["192.0.2.1"]) == "127.0.0.1"
    assert address_of_node((), ["127.0.0.1"]) == "127.0.0.1"
