"""Servers and folders that come back as another store: they are refused, and nothing is lost."""

import contextlib
import shutil
import subprocess
import sys

import pytest
from store_servers import SCHEMES, running, uri_of

from parsl_tl import open_store
from parsl_tl.errors import (
    InvalidValueError,
    ModelNotFoundError,
    StoreFormatError,
    StoreIdentityError,
)
from parsl_tl.store.connection import find_servers
from parsl_tl.store.remote import RemoteStore

kinds = pytest.mark.parametrize("kind", list(SCHEMES))
many_processes = pytest.mark.slow


def connect(servers, **options):
    return RemoteStore(
        find_servers(uri_of(servers)), **{"retry_seconds": 2, "timeout": 10, **options}
    )


def run(*arguments):
    command = [sys.executable, "-m", "parsl_tl.cli", "store", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def put_family(store, tools):
    """Model 2 on the first server of two, its child 3 on the second; the child's weights."""
    graph, child = tools.graph(1, 2, 3), tools.graph(1, 2, 2)
    weights = tools.weights(graph, 2)
    store.put(2, graph, weights, quality=0.5)
    own = {n: w for n, w in tools.weights(child, 3).items() if n not in weights}
    result = store.put(3, child, own, quality=0.9, donor=2)
    assert result.layers_inherited == 2
    assert result.shared_with == 2
    return {**{n: weights[n] for n in tools.weights(child) if n in weights}, **own}


def identity(server):
    text = (server.folder / "FORMAT").read_text()
    return next(line[3:] for line in text.splitlines() if line.startswith("id "))


def empty(server):
    """Its disk is not there when it starts."""
    server.kill()
    server.folder.rename(server.folder.with_name("disk"))
    server.start()


def restore(server):
    server.kill()
    shutil.rmtree(server.folder)
    server.folder.with_name("disk").rename(server.folder)
    server.start()


@many_processes
@kinds
def test_an_emptied_server_is_refused_until_it_is_adopted(tmp_path, tools, kind):
    with running(tmp_path, kind, 2) as servers:
        clients = [connect(servers, maps_segments=mapped) for mapped in (True, False)]
        expected = put_family(clients[0], tools)
        clients[0].retire(2)
        assert tools.same(clients[1].read(3), expected)
        was = identity(servers[0])
        empty(servers[0])
        now = identity(servers[0])
        both = f"(?s)(?=.*{was})(?=.*{now})"
        for client in clients:
            for call in (
                lambda client=client: client.find_donor(tools.graph(1, 2, 3)),
                lambda client=client: client.compact(),
                lambda client=client: client.verify(),
                lambda client=client: put_family(client, tools),
            ):
                with pytest.raises(StoreIdentityError, match=both):
                    call()
            # What was mapped or fetched before is right; nothing else comes.
            with contextlib.suppress(StoreIdentityError):
                assert tools.same(client.read(3), expected)
        for options in ({}, {"read_only": True}, {"maps_segments": False}):
            with pytest.raises(StoreIdentityError, match=both):
                connect(servers, **options)
        done = run("verify", uri_of(servers))
        assert done.returncode == 2
        assert was in done.stderr
        assert now in done.stderr

        plan = run("adopt", *(server.uri for server in servers))
        assert plan.returncode == 1
        assert was in plan.stdout
        assert "0000000000000003" in plan.stdout
        with pytest.raises(StoreIdentityError):
            connect(servers)
        done = run("adopt", *(server.uri for server in servers), "--yes")
        assert done.returncode == 0, done.stderr
        with connect(servers) as store:
            assert 3 not in store
            with pytest.raises(ModelNotFoundError):
                store.read(3)
            assert store.verify().ok
            graph = tools.graph(1, 2, 3)
            store.put(2, graph, tools.weights(graph, 777), quality=0.1)
        for client in clients:  # they know the store that was
            with pytest.raises(StoreIdentityError):
                client.read(2)


@many_processes
@kinds
def test_nothing_is_freed_on_the_word_of_an_unmounted_disk(tmp_path, tools, kind):
    with running(tmp_path, kind, 2) as servers:
        store = connect(servers)
        expected = put_family(store, tools)
        store.retire(2)
        empty(servers[1])
        with pytest.raises(StoreIdentityError):
            store.compact()
        with pytest.raises(StoreIdentityError):
            connect(servers).compact()
        restore(servers[1])
        with connect(servers) as again:
            again.compact()
            assert tools.same(again.read(3), expected)
            assert again.verify().ok
        assert tools.same(store.read(3), expected)


@many_processes
def test_mapped_weights_are_those_of_the_store_that_was_opened(tmp_path, tools):
    """The first server is not asked when a child of the second is read: its files are mapped."""
    with running(tmp_path, "flight", 2) as servers:
        put_family(connect(servers), tools)
        store = connect(servers)
        assert store.is_mapped == [True, True]
        empty(servers[0])
        with RemoteStore(find_servers(servers[0].uri)) as other:
            graph = tools.graph(1, 2, 3)
            other.put(2, graph, tools.weights(graph, 777), quality=0.1)
        with pytest.raises(StoreIdentityError, match=identity(servers[0])):
            store.read(3)


@many_processes
def test_swapped_folders_and_copies_are_refused(tmp_path, tools):
    with running(tmp_path, "flight", 2) as servers:
        store = connect(servers)
        put_family(store, tools)
        for server in servers:
            server.kill()
        folders = [server.folder for server in servers]
        folders[0].rename(tmp_path / "between")
        folders[1].rename(folders[0])
        (tmp_path / "between").rename(folders[1])
        for server in servers:
            server.start()
        with pytest.raises(StoreIdentityError):
            store.read(3)
        with pytest.raises(InvalidValueError, match="in the order"):
            connect(servers)
        assert run("adopt", *(server.uri for server in servers), "--yes").returncode == 2
        with connect(servers[::-1]) as again:
            assert again.verify().ok
        servers[0].kill()
        shutil.rmtree(folders[0])
        shutil.copytree(folders[1], folders[0])
        servers[0].start()
        with pytest.raises(InvalidValueError, match="copy"):
            connect(servers)


@many_processes
def test_a_store_of_one_server_is_known_to_its_client(tmp_path, tools):
    with running(tmp_path, "flight", 1) as servers:
        store = connect(servers)
        graph = tools.graph(1)
        store.put(1, graph, tools.weights(graph, 1), quality=0)
        was = identity(servers[0])
        empty(servers[0])
        for call in (lambda: store.read(1), store.models, lambda: store.retire(1)):
            with pytest.raises(StoreIdentityError, match=was):
                call()
        restore(servers[0])
        assert tools.same(store.read(1), tools.weights(graph, 1))


def test_an_open_folder_that_is_replaced_is_refused(tmp_path, tools):
    graph = tools.graph(1)
    store = open_store(f"embedded:{tmp_path / 's'}")
    store.put(1, graph, tools.weights(graph, 1), quality=0)
    (tmp_path / "s").rename(tmp_path / "away")
    with pytest.raises(StoreFormatError, match="was removed while the store was in use"):
        len(store)
    with open_store(f"embedded:{tmp_path / 's'}") as other:
        other.put(1, graph, tools.weights(graph, 2), quality=0)
    for call in (
        lambda: store.models(),
        lambda: store.put(2, graph, tools.weights(graph, 2), quality=0),
        lambda: store.compact(),
    ):
        with pytest.raises(StoreIdentityError, match="was opened as store"):
            call()
    shutil.rmtree(tmp_path / "s")
    (tmp_path / "away").rename(tmp_path / "s")
    assert tools.same(store.read(1), tools.weights(graph, 1))
    assert store.verify().ok


@pytest.mark.parametrize("read_only", [False, True])
def test_an_older_format_names_the_way_out(tmp_path, read_only):
    folder = tmp_path / "s"
    open_store(f"embedded:{folder}").close()
    (folder / "FORMAT").write_text("parsl_tl model store\nformat 2\ncompression none\n")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(StoreFormatError, match=r"format 2.*release that wrote it.*export"):
        open_store(f"embedded:{folder}", read_only=read_only)
    assert sorted(path.name for path in folder.iterdir()) == before
    done = run("verify", folder)
    assert done.returncode == 2
    assert "release that wrote it" in done.stderr
    done = run("serve", "grpc+tcp://127.0.0.1:0", "--data", folder)
    assert done.returncode == 2
    assert "release that wrote it" in done.stderr


def test_a_format_without_identity_is_refused(tmp_path):
    folder = tmp_path / "s"
    open_store(f"embedded:{folder}").close()
    text = (folder / "FORMAT").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("id ")]
    (folder / "FORMAT").write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreFormatError, match="identity"):
        open_store(f"embedded:{folder}")
    (folder / "FORMAT").write_text(text.replace("hashes 2", "hashes 3"))
    with pytest.raises(StoreFormatError, match="scheme"):
        open_store(f"embedded:{folder}")


def test_a_part_of_a_store_shares_nothing_behind_the_other_servers(tmp_path, tools):
    """Nobody would hold what a child inherits there."""
    from parsl_tl.store.serving import ServerSettings, StoreServer

    servers = [
        StoreServer(ServerSettings(address="grpc+tcp://127.0.0.1:0", folder=tmp_path / str(i)))
        for i in range(2)
    ]
    try:
        with open_store(" ".join(str(server.connection) for server in servers)) as store:
            put_family(store, tools)
        with open_store(f"embedded:{tmp_path / '1'}") as part:
            with pytest.raises(InvalidValueError, match="through the servers"):
                part.put(5, tools.graph(1, 2, 2), {}, quality=1, donor=3)
            assert 5 not in part
    finally:
        for server in servers:
            server.close()
