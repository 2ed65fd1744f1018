"""Real server processes: started, asked, killed, and started again."""

import json
import multiprocessing
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from store_servers import SCHEMES, ServerProcess, make_certificate, running, uri_of

from parsl_tl import open_store
from parsl_tl.errors import (
    InvalidValueError,
    StoreDeniedError,
    StoreFullError,
    StorePermissionError,
    StoreUnreachableError,
)
from parsl_tl.store.connection import find_servers
from parsl_tl.store.remote import RemoteStore

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

kinds = pytest.mark.parametrize("kind", list(SCHEMES))


def put(store, tools, model_id, *arch, **options):
    graph = tools.graph(*arch)
    weights = tools.weights(graph, model_id)
    store.put(model_id, graph, weights, quality=float(model_id), **options)
    return weights


def run(*arguments):
    command = [sys.executable, "-m", "parsl_tl.cli", "store", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@kinds
def test_what_was_acknowledged_survives_the_server(tmp_path, tools, kind):
    with running(tmp_path, kind) as [server]:
        with open_store(server.uri) as store:
            weights = put(store, tools, 1, 1, 2)
            server.kill()
            server.start()
            # The same client goes on, by itself.
            assert tools.same(store.read(1), weights)
            put(store, tools, 2, 1, 3)
        assert server.stop() == 0
    with open_store(f"embedded:{server.folder}") as store:
        assert store.models()["model_id"].to_pylist() == [1, 2]
        assert store.verify().ok


def write_models(uri, first, count, acknowledged):
    """A client that stores one model after another, and says which."""
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import make_graph, make_weights

    with open_store(uri, retry_seconds=60) as store:
        for model_id in range(first, first + count):
            graph = make_graph(1 + model_id % 3, 1 + model_id % 2)
            donor = model_id - 2 if model_id - 2 >= first else None
            store.put(model_id, graph, make_weights(graph, model_id), quality=1.0, donor=donor)
            acknowledged.put(model_id)


@kinds
@pytest.mark.slow
def test_clients_survive_servers_that_are_killed_again_and_again(tmp_path, kind):
    with running(tmp_path, kind, 2) as servers:
        context = multiprocessing.get_context("spawn")
        acknowledged = context.Queue()
        clients = [
            context.Process(target=write_models, args=(uri_of(servers), first, 150, acknowledged))
            for first in (1000, 2000)
        ]
        for client in clients:
            client.start()
        rng = np.random.default_rng(0)
        while any(client.is_alive() for client in clients):
            time.sleep(rng.uniform(0.5, 1.5))
            server = servers[rng.integers(2)]
            server.kill()
            server.start()
        for client in clients:
            client.join()
            assert client.exitcode == 0
        told = {acknowledged.get(timeout=10) for _ in range(300)}
        with open_store(uri_of(servers)) as store:
            assert set(store.models()["model_id"].to_pylist()) == told
            assert store.verify().ok
            for model_id in sorted(told)[::10]:
                store.read(model_id)


@kinds
def test_a_server_that_is_gone_is_named(tmp_path, tools, kind):
    with running(tmp_path, kind, 2) as servers:
        store = RemoteStore(find_servers(uri_of(servers)), timeout=2, retry_seconds=4)
        put(store, tools, 1, 1)
        put(store, tools, 2, 1)
        servers[1].kill()
        with pytest.raises(StoreUnreachableError, match=re.escape(servers[1].address)):
            store.find_donor(tools.graph(1))
        start = time.monotonic()
        with pytest.raises(StoreUnreachableError, match=re.escape(servers[1].address)):
            put(store, tools, 3, 1)  # at once: the server counts as gone for a while
        assert time.monotonic() - start < 4
        put(store, tools, 4, 2)  # the other one is there
        with pytest.raises(StoreUnreachableError, match=re.escape(servers[1].address)):
            open_store(uri_of(servers), timeout=2, retry_seconds=0.5)
        store.close()


@kinds
def test_nobody_comes_in_without_the_token(tmp_path, tools, kind):
    token = tmp_path / "token"
    other = tmp_path / "other"
    other.write_text("guessed")
    other.chmod(0o600)
    with running(tmp_path, kind, 1, "--token-file", token) as [server]:
        assert server.uri == f"{server.address}?token_file={token}"
        with open_store(server.uri) as store:
            put(store, tools, 1, 1)
        for given in (None, str(other)):
            with pytest.raises(StoreDeniedError, match="token"):
                open_store(server.address, token_file=given)
        for action in ("ping", "stop", "status"):
            done = run(action, server.address)
            assert done.returncode == 1
            assert "StoreDeniedError" in done.stdout
        with open_store(server.address, token_file=str(token)) as store:
            assert 1 in store
        assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_servers_have_one_token(tmp_path):
    (tmp_path / "other").write_text("another")
    (tmp_path / "other").chmod(0o600)
    (tmp_path / "one").write_text("one")
    (tmp_path / "one").chmod(0o600)
    uri = " ".join(
        f"grpc+tcp://h:1{i}?token_file={tmp_path / t}" for i, t in enumerate(["one", "other"])
    )
    with pytest.raises(InvalidValueError, match="share one token"):
        open_store(uri)


def test_tls_lets_in_who_trusts_the_certificate(tmp_path, tools):
    certificate, key = make_certificate(tmp_path)
    options = ("--tls-cert", certificate, "--tls-key", key)
    server = ServerProcess(tmp_path / "s", "grpc+tls://127.0.0.1:0", *options)
    try:
        with open_store(server.uri) as store:  # the address file names the certificate
            weights = put(store, tools, 1, 1)
            assert tools.same(store.read(1), weights)
        with pytest.raises((StoreDeniedError, StoreUnreachableError)):
            open_store(server.address, retry_seconds=0.5, timeout=3)
        with pytest.raises((StoreDeniedError, StoreUnreachableError)):
            open_store(server.address.replace("grpc+tls", "grpc+tcp"), retry_seconds=0.5, timeout=3)
    finally:
        server.end()


def test_a_socket_is_its_owners(tmp_path, tools):
    path = Path("/tmp") / f"parsl-tl-{os.getpid()}.sock"  # sockets' paths must be short
    server = ServerProcess(tmp_path / "s", f"grpc+unix://{path}")
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with open_store(server.uri) as store:
            weights = put(store, tools, 1, 1)
            assert tools.same(store.read(1), weights)
        assert server.stop() == 0
        assert not path.exists()
    finally:
        server.end()


def test_servers_are_named_in_their_order(tmp_path, tools):
    with running(tmp_path, "flight", 2) as servers:
        with open_store(uri_of(servers)) as store:
            put(store, tools, 1, 1)
            put(store, tools, 2, 1)
        for wrong in (servers[::-1], servers[:1]):
            for read_only in (False, True):
                with pytest.raises(InvalidValueError, match="in the order"):
                    open_store(uri_of(wrong), read_only=read_only)
        with open_store(uri_of(servers)) as store:
            assert len(store) == 2


def test_memory_lasts_as_long_as_the_server(tmp_path, tools):
    server = ServerProcess(
        tmp_path / "s", "grpc+tcp://127.0.0.1:0", "--durability", "memory", "--memory-limit", "1MB",
        data=False,
    )  # fmt: skip
    try:
        graph = tools.graph(1)
        name = graph.layer_names[1]
        with open_store(server.uri) as store:
            assert store.is_mapped == [True]
            for model_id in range(8):
                store.put(model_id, graph, {name: [np.zeros(120_000, "u1")]}, quality=0)
            with pytest.raises(StoreFullError, match="memory-limit"):
                store.put(9, graph, {name: [np.zeros(120_000, "u1")]}, quality=0)
            store.retire(0)
            store.put(9, graph, {name: [np.zeros(120_000, "u1")]}, quality=0)
            with pytest.raises(InvalidValueError, match="at most 1000000"):
                store.put(10, graph, {name: [np.zeros(2_000_000, "u1")]}, quality=0)
        folder = json.loads(run("status", server.uri, "--json").stdout)[0]["folder"]
        assert Path(folder).is_dir()
        assert server.stop() == 0
        assert not Path(folder).exists()
    finally:
        server.end()


@kinds
def test_servers_are_looked_after(tmp_path, tools, kind):
    with running(tmp_path, kind, 2) as servers:
        with open_store(uri_of(servers)) as store:
            put(store, tools, 1, 1)
            store.find_donor(tools.graph(1))
        files = [server.address_file for server in servers]
        done = run("status", "--json", *files)
        first, second = json.loads(done.stdout)
        assert done.returncode == 0
        assert (first["models"], second["models"]) == (0, 1)
        assert (second["server_index"], second["server_count"]) == (1, 2)
        counts = {row["request"]: row["count"] for row in second["requests"]}
        assert counts["put"] == 1
        assert counts["best_ancestors"] == 1
        assert "best_ancestors" in run("status", *files).stdout
        assert "us median" in run("ping", "--count", 3, *files).stdout
        assert run("stop", *files).returncode == 0
        assert [server.process.wait(30) for server in servers] == [0, 0]
        assert run("ping", *files, "--timeout", 1).returncode == 1


def read_and_stop_itself(uri):
    """A client that stops in the middle of what it reads."""
    store = RemoteStore(find_servers(uri), maps_segments=False)
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGSTOP)).start()
    while True:
        store.read(1)


@kinds
@pytest.mark.slow
def test_a_client_that_stops_reading_holds_up_nobody(tmp_path, tools, kind):
    graph = tools.graph(1)
    large = {graph.layer_names[1]: [np.arange(1 << 26, dtype="u1")]}
    with running(tmp_path, kind, 1, "--threads", 2) as [server]:
        with open_store(server.uri) as store:
            store.put(1, graph, large, quality=0)
        context = multiprocessing.get_context("spawn")
        stopped = [
            context.Process(target=read_and_stop_itself, args=(server.uri,)) for _ in range(4)
        ]
        for process in stopped:
            process.start()
        try:
            deadline = time.monotonic() + 60
            while not all(state_of(process.pid) == "T" for process in stopped):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            with RemoteStore(find_servers(server.uri), maps_segments=False, timeout=20) as store:
                for model_id in range(10, 20):
                    put(store, tools, model_id, 1, 2)
                    assert store.find_donor(tools.graph(1, 2)).model_id == model_id
                assert tools.same(store.read(1), large)
        finally:
            for process in stopped:
                process.kill()
                process.join()
        assert server.stop() == 0


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_read_only_server_changes_nothing(tmp_path, tools):
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        weights = put(store, tools, 1, 1)
    server = ServerProcess(tmp_path / "s", "grpc+tcp://127.0.0.1:0", "--read-only")
    try:
        with open_store(server.uri) as store:
            assert tools.same(store.read(1), weights)
            with pytest.raises(StorePermissionError):
                put(store, tools, 2, 1)
    finally:
        server.end()


def test_puts_in_the_background(uri, tools):
    graph = tools.graph(1, 2)
    with open_store(uri) as store:
        futures = [
            store.put(i, graph, tools.weights(graph, i), quality=i, wait=False) for i in range(20)
        ]
        assert [future.result().layers_stored for future in futures] == [3] * 20
        failed = store.put(3, graph, {}, quality=0, wait=False)
        assert "used before" in str(failed.exception())
        with pytest.raises(InvalidValueError):  # what is wrong in itself is refused at once
            store.put(99, graph, {"Dense_1": []}, quality=0, wait=False)
        last = store.put(50, graph, {}, quality=0, donor=19, wait=False)
    assert last.done()
    assert last.result().layers_inherited == 3
