"""Replicas answer in the name of servers that are away, and nobody is told what is not so."""

import re
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from followed_stores import Site, catch_up, put, taken_in, wait_for

from parsl_tl import open_store
from parsl_tl.errors import (
    InvalidValueError,
    StoreError,
    StoreIdentityError,
    StoreUnreachableError,
)
from parsl_tl.store.connection import find_replicas, find_servers
from parsl_tl.store.copies import promote
from parsl_tl.store.remote import RemoteStore

QUICK = {"timeout": 20.0, "retry_seconds": 0.5}


@pytest.fixture
def sites(tmp_path):
    """Starts sites by name; ends them."""
    with ExitStack() as stack:

        def start(name, **settings):
            site = Site(tmp_path / name, **settings)
            stack.callback(site.stop)
            return site

        yield start


@pytest.fixture
def pair(sites):
    leader = sites("leader")
    return leader, sites("replica", follow=[leader.uri], replicate=True)


def are_current(leaders, replica):
    """Until the replica has all that these have, weights and all."""

    def is_so():
        copies = {path.parent for path in replica.copies()}
        logs = {(leader.folder / "log").read_bytes() for leader in leaders}
        if {(copy / "log").read_bytes() for copy in copies} != logs:
            return False
        here = {file.name for copy in copies for file in (copy / "segments").iterdir()}
        theirs = {
            file.name for leader in leaders for file in (leader.folder / "segments").iterdir()
        }
        for copy in copies:
            taken_in(copy)
        return here == theirs

    wait_for(is_so, "the replica is current")


def client_of(leaders, *replicas, mapped=True, **options):
    uri = " ".join([*(site.uri for site in leaders), *(f"replica={r.uri}" for r in replicas)])
    return RemoteStore(
        find_servers(uri),
        replicas=find_replicas(uri),
        maps_segments=mapped,
        **{**QUICK, **options},
    )


def read(match):
    """The weights of the layers that have some."""
    return {name: own for name, own in match.read().items() if own}


def copied(arrays):
    return {name: [array.copy() for array in own] for name, own in arrays.items()}


@pytest.mark.parametrize("mapped", [True, False])
def test_reads_go_on_and_go_back(pair, tools, mapped):
    leader, replica = pair
    with client_of([leader], replica, mapped=mapped) as store:
        weights = {i: put(store, tools, i, 1, 1 + i % 3) for i in range(1, 4)}
        store.put(4, tools.graph(1, 1), {}, quality=0.1, donor=3, parent=3)
        store.retire(2)
        before = store.models(), store.lineage(4), store.composition(4), store.stats()["models"]
        are_current([leader], replica)
        match = store.find_donor(tools.graph(1, 1))
        assert store.is_stood_in_for == [False]
        leader.stop()
        assert tools.same(read(match), weights[3])
        again = store.find_donor(tools.graph(1, 1))
        assert store.is_stood_in_for == [True]
        assert (again.model_id, again.layer_names) == (match.model_id, match.layer_names)
        assert tools.same(read(again), weights[3])
        assert tools.same(store.read(1), weights[1])
        assert store.find_donors([tools.graph(1, 1)]).model_ids.tolist() == [3]
        assert (store.models(), store.lineage(4), store.composition(4), len(store)) == before
        assert 2 not in store
        assert 4 in store
        with pytest.raises(StoreUnreachableError, match=re.escape(leader.address)):
            put(store, tools, 5, 2)
        leader.start()
        # Who stores meets the server, and everybody goes back with it.
        wait_for(lambda: stores(store, tools, 5), "the server is met")
        assert store.is_stood_in_for == [False]
        assert 5 in store


def test_who_only_reads_goes_back_too(pair, tools):
    leader, replica = pair
    with client_of([leader]) as store:
        put(store, tools, 1, 1)
        are_current([leader], replica)
        with client_of([leader], replica, read_only=True) as reader:
            leader.stop()
            assert 1 in reader
            leader.start()
            put(store, tools, 2, 1)
            wait_for(lambda: 1 in reader and reader.is_stood_in_for == [False], "it goes back")
            assert 2 in reader


def test_a_store_is_opened_while_it_is_away(pair, tools):
    leader, replica = pair
    with client_of([leader]) as store:
        weights = put(store, tools, 1, 1)
        identities = store.identities
    are_current([leader], replica)
    uri = f"{leader.uri} replica={replica.uri}"
    leader.stop()
    with open_store(uri, **QUICK) as store:
        assert store.uri == uri
        assert store.identities == identities
        assert tools.same(store.read(1), weights)
        leader.start()
        put(store, tools, 2, 1)
    with pytest.raises(InvalidValueError, match="its own replica"):
        open_store(f"{leader.uri} replica={leader.uri}")


@pytest.mark.parametrize("mapped", [True, False])
def test_one_server_of_several_is_stood_in_for(sites, tools, mapped):
    leaders = [sites("a"), sites("b")]
    uri = " ".join(site.uri for site in leaders)
    with open_store(uri) as store:  # which makes the two one store
        weights = put(store, tools, 2, 1, 2)
        # Layers of 2, on the first server, are held there for 3, on the second.
        store.put(3, tools.graph(1, 2), {}, quality=9.0, donor=2)
        own = put(store, tools, 5, 2, 1)
    replica = sites("replica", follow=[uri], replicate=True)
    are_current(leaders, replica)
    with client_of(leaders, replica, mapped=mapped) as store:
        for away in range(2):
            leaders[away].stop()
            match = store.find_donor(tools.graph(1, 2))
            assert match.model_id == 3
            assert tools.same(read(match), weights)
            assert tools.same(store.read(2), weights)
            assert tools.same(store.read(5), own)
            assert store.is_stood_in_for == [away == 0, away == 1]
            assert len(store) == 3 + away
            leaders[away].start()
            put(store, tools, 10 + away, 3)  # on the one that is back
        assert store.verify().ok


def test_a_promoted_replica_takes_what_is_stored(pair, sites, tools, tmp_path):
    leader, replica = pair
    promoted = sites("later")  # only for its address
    promoted.stop()
    place = promoted.address
    uri = f"{leader.uri} replica={replica.uri} replica={place}"
    with open_store(uri, **QUICK) as store:
        weights = put(store, tools, 1, 1)
        are_current([leader], replica)
        leader.stop()
        [path] = replica.copies()
        assert tools.same(store.read(1), weights)
        with pytest.raises(StoreUnreachableError, match="stores nothing in its name"):
            put(store, tools, 2, 1)
        promote(path.parent)
        promoted.folder = path.parent
        promoted.start()
        wait_for(lambda: stores(store, tools, 2), "the promoted one is met")
        assert store.is_stood_in_for == [False]
        assert 2 in store
        assert store.verify().ok


def stores(store, tools, model_id):
    try:
        put(store, tools, model_id, 1)
    except StoreUnreachableError:
        return False  # it rests
    return True


def test_a_replica_of_another_store_is_of_no_use(pair, sites, tools):
    leader, replica = pair
    other = sites("other")
    put(other.store, tools, 1, 1)
    with client_of([other], replica) as store:
        other.stop()
        with pytest.raises(StoreUnreachableError, match="has no copy of store"):
            store.read(1)
    # Nor is a server of another store taken for the one that is away.
    with client_of([leader], sites("alone")) as store:
        leader.stop()
        with pytest.raises(StoreUnreachableError, match="follows no other store"):
            len(store)


def test_a_server_that_comes_back_as_another_one_is_refused(pair, tools):
    leader, replica = pair
    with client_of([leader], replica) as store:
        put(store, tools, 1, 1)
        are_current([leader], replica)
        leader.stop()
        assert 1 in store
        shutil.rmtree(leader.folder)
        leader.start()
        with pytest.raises(StoreIdentityError):
            put(store, tools, 2, 1)


def go_back(leader, tools, use):
    """The leader's folder goes back to a copy of it, in which the id of a model is used anew."""
    copy = leader.folder.with_name("copy")
    put(leader.store, tools, 1, 1)
    shutil.copytree(leader.folder, copy)
    graph = tools.graph(1, 2)
    leader.store.put(2, graph, tools.weights(graph, 100.0), quality=2.0)
    use()
    leader.stop()
    shutil.rmtree(leader.folder)
    copy.rename(leader.folder)
    leader.start()
    leader.store.put(2, graph, tools.weights(graph, 200.0), quality=2.0)
    return tools.weights(graph, 200.0)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("through", ["leader", "follower"])
def test_what_a_store_forgot_is_forgotten_by_its_clients(sites, tools, mapped, through):
    leader = sites("leader")
    asked = leader if through == "leader" else sites("follower", follow=[leader.uri])
    with client_of([asked], mapped=mapped, retry_seconds=20) as store:
        held = []

        def use():
            wait_for(lambda: 2 in store, "it is known")
            held.append(store.find_donor(tools.graph(1, 2)))
            held.append(copied(store.read(2)))

        expected = go_back(leader, tools, use)
        if through == "follower":
            catch_up(leader, asked)
        assert not tools.same(held[1], expected)
        for _ in range(2):
            assert tools.same(store.read(2), expected)
            match = store.find_donor(tools.graph(1, 2))
            assert tools.same(read(match), expected)
        # A match is what it was, or nothing: never another model's weights.
        if mapped:
            assert tools.same(read(held[0]), held[1])


@pytest.mark.parametrize("mapped", [True, False])
def test_nobody_reads_another_models_weights_meanwhile(sites, tools, mapped):
    leader = sites("leader")
    follower = sites("follower", follow=[leader.uri])
    graph = tools.graph(1, 2)
    put(leader.store, tools, 1, 1)
    leader.stop()
    shutil.copytree(leader.folder, leader.folder.with_name("copy"))
    leader.start()
    seen, stop = Counter(), threading.Event()  # how often a quality's weights were read

    def read_on():
        while not stop.is_set():
            with client_of([follower], mapped=mapped, retry_seconds=20) as store:
                match = store.find_donor(graph)
                if match is None or match.model_id != 2:
                    continue
                try:
                    [bias] = {float(own[-1][0]) for own in read(match).values()}
                except StoreError:
                    continue  # it went meanwhile
                assert bias == match.quality
                seen[bias] += 1

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(read_on)
        try:
            for quality in (100.0, 200.0, 300.0):
                leader.store.put(2, graph, tools.weights(graph, quality), quality=quality)
                wait_for(lambda now=quality: seen[now] > 3 or reader.done(), "the new one is read")
                leader.stop()
                shutil.rmtree(leader.folder)
                shutil.copytree(leader.folder.with_name("copy"), leader.folder)
                leader.start()
        finally:
            stop.set()
        reader.result()
