"""What children hold on other servers: while they are put, after clients that died, and checked."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from stalling_proxy import StallingProxy
from store_servers import running, uri_of

from parsl_tl.errors import StoreBusyError
from parsl_tl.spaces import get_space
from parsl_tl.store.connection import find_servers
from parsl_tl.store.remote import RemoteStore

pytestmark = pytest.mark.slow

SPACE = get_space("feed-forward", num_layers=6, units=(1000, 1003, 1), activations=["relu"])


def wide(*arch):
    """Layers of four megabytes."""
    return SPACE.build([*arch, *[0] * (6 - len(arch))], (3,), (2,))


def connect(*uris, **options):
    settings = {"retry_seconds": 5, "timeout": 30, "maps_segments": False, **options}
    return RemoteStore(find_servers(" ".join(uris)), **settings)


def own_weights(tools, model_id, graph, donor):
    shared = set(tools.weights(donor))
    return {n: w for n, w in tools.weights(graph, model_id).items() if n not in shared}


def put_child(store, tools, model_id, **options):
    graph = wide(1, 2, 2)
    weights = own_weights(tools, model_id, graph, wide(1, 2, 3))
    return store.put(model_id, graph, weights, quality=0.9, donor=2, **options)


def put_donor(store, tools):
    graph = wide(1, 2, 3)
    weights = tools.weights(graph, 2)
    store.put(2, graph, weights, quality=0.5)
    return weights


# Dies in the middle of storing model argv[1], after some bytes to the second server.
DYING = """
import os, signal, sys, threading
sys.path[:0] = sys.argv[5:7]
from conftest import make_weights
from stalling_proxy import StallingProxy
import test_holds

class Tools:
    weights = staticmethod(make_weights)

proxy = StallingProxy(sys.argv[3])
store = test_holds.connect(sys.argv[2], proxy.uri)
proxy.stall_after(int(sys.argv[4]))
threading.Thread(
    target=lambda: (proxy.stalled.wait(), os.kill(os.getpid(), signal.SIGKILL)), daemon=True
).start()
test_holds.put_child(store, Tools, int(sys.argv[1]))
"""


def die_while_storing(servers, model_id, after):
    here = Path(__file__).parent
    command = [sys.executable, "-c", DYING, str(model_id), servers[0].uri, servers[1].uri,
               str(after), str(here), str(here.parent / "support")]  # fmt: skip
    done = subprocess.run(command, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


# In the upload; between what is held for it and the upload; and before anything is held.
AFTER = [1_000_000, 3000, 1]


@pytest.mark.parametrize("after", AFTER)
def test_what_a_dead_client_held_is_taken_over_or_swept(tmp_path, tools, after):
    with running(tmp_path, "flight", 2) as servers:
        store = connect(uri_of(servers))
        layer = next(iter(put_donor(store, tools)))
        die_while_storing(servers, 3, after)
        die_while_storing(servers, 5, after)
        assert store.reference_count(2, layer) == (3 if after > 1 else 1)
        assert store.verify().ok == (after == 1)
        assert put_child(store, tools, 3).layers_inherited == 2
        whole = wide(1, 2, 2)
        store.put(5, whole, tools.weights(whole, 5), quality=0.1)  # by itself this time
        store.compact()
        assert store.reference_count(2, layer) == 2
        assert store.verify().ok
        store.retire(2)
        assert len(store.read(3)) == len(tools.weights(whole))
        store.retire(3)
        assert store.reference_count(2, layer) == 0
        assert store.verify().ok


@pytest.mark.parametrize("after", AFTER)
def test_nothing_is_swept_from_under_a_put(tmp_path, tools, after):
    with running(tmp_path, "flight", 2) as servers:
        store = connect(uri_of(servers))
        weights = put_donor(store, tools)
        layer = next(iter(weights))
        proxy = StallingProxy(servers[1].uri)
        slow = connect(servers[0].uri, proxy.uri, retry_seconds=60, timeout=60)
        proxy.stall_after(after)
        future = put_child(slow, tools, 3, wait=False)
        assert proxy.stalled.wait(60)
        if after > 1:
            assert store.reference_count(2, layer) == 2
        store.compact()
        if after == 1_000_000:
            with pytest.raises(StoreBusyError, match="under way"):
                put_child(connect(uri_of(servers), retry_seconds=0.5), tools, 3)
        if after > 1:
            store.retire(2)  # the hold alone keeps its layers
        store.compact()
        proxy.go_on()
        assert future.result().layers_inherited == 2
        read = store.read(3)
        assert all(read[n][0].tobytes() == weights[n][0].tobytes() for n in weights if n in read)
        assert store.verify().ok


def test_a_put_outlives_the_server_that_it_goes_to(tmp_path, tools):
    """It is begun anew there, and what it holds is held for the new attempt."""
    with running(tmp_path, "flight", 2) as servers:
        store = connect(uri_of(servers))
        put_donor(store, tools)
        proxy = StallingProxy(servers[1].uri)
        slow = connect(servers[0].uri, proxy.uri, retry_seconds=60, timeout=60)
        proxy.stall_after(1_000_000)
        future = put_child(slow, tools, 3, wait=False)
        assert proxy.stalled.wait(60)
        servers[1].kill()
        servers[1].start()
        connect(uri_of(servers)).compact()  # nobody there knows of the put
        proxy.go_on()
        assert future.result().layers_inherited == 2
        with connect(uri_of(servers)) as again:
            assert again.verify().ok
            again.retire(2)
            again.compact()
            assert len(again.read(3)) == 4


def test_verify_tells_of_holds_without_models_and_models_without_holds(tmp_path, tools):
    with running(tmp_path, "flight", 2) as servers:
        store = connect(uri_of(servers))
        put_donor(store, tools)
        for model_id in (3, 5):
            put_child(store, tools, model_id)
        assert store.verify().ok
        for server in servers:
            server.kill()
        # As from copies of different times: the log of the second before its last model, and one
        # that holds nothing for the other.
        log = servers[1].folder / "log"
        whole = log.read_bytes()
        log.write_bytes(whole[: len(whole) - last_frame(whole)])
        for server in servers:
            server.start()
        command = [sys.executable, "-m", "parsl_tl.cli", "store", "verify", uri_of(servers)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 1
        assert "0000000000000005" in done.stdout
        assert "0000000000000003" not in done.stdout


def last_frame(log):
    """Bytes of the last frame of a log."""
    start = log.rindex(b"PTLR")
    return len(log) - start


def test_two_attempts_at_once_store_one_model(tmp_path, tools):
    with running(tmp_path, "flight", 2) as servers:
        store = connect(uri_of(servers))
        put_donor(store, tools)
        outcomes = []

        def attempt():
            try:
                outcomes.append(put_child(connect(uri_of(servers)), tools, 7))
            except Exception as error:
                outcomes.append(error)

        threads = [threading.Thread(target=attempt) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1, outcomes
        assert store.verify().ok
