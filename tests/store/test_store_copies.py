"""Copies of whole stores while they are in use: verified, restored, refused if damaged."""

import subprocess
import sys
import threading

import pytest
from followed_stores import Site, put

from parsl_tl import open_store
from parsl_tl.errors import InvalidValueError, StoreCorruptError, StoreUnreachableError
from parsl_tl.store.copies import restore, snapshot
from parsl_tl.store.remote import RemoteStore
from parsl_tl.store.stopped_cluster import served_here


def contents(store, tools):
    """Everything that a store tells: rows, compositions, weights."""
    rows = store.models().to_pylist()
    ids = [row["model_id"] for row in rows]
    weights = {i: {n: [a.copy() for a in w] for n, w in store.read(i).items()} for i in ids}
    return rows, {i: store.composition(i) for i in ids}, {i: store.lineage(i) for i in ids}, weights


def are_same(a, b, tools):
    return a[:3] == b[:3] and all(tools.same(a[3][i], b[3][i]) for i in a[3])


def fill(store, tools):
    put(store, tools, 1, 1, 2)
    store.put(2, tools.graph(1, 2, 3), {}, quality=0.1, donor=None)
    store.put(3, tools.graph(1, 2), {}, quality=0.7, donor=1, parent=1, attributes={"a": [1]})
    put(store, tools, 4, 3)
    store.retire(1)  # its layers live on in 3
    store.retire(4)


@pytest.mark.parametrize("way", ["folder", "server", "compressed"])
def test_a_copy_is_the_store(tmp_path, tools, way):
    options = {"compression": "zstd"} if way == "compressed" else {}
    with open_store(f"embedded:{tmp_path / 'store'}", **options) as store:
        fill(store, tools)
        store.compact()
        put(store, tools, 5, 2, 2)
        before = contents(store, tools)
        identity = store.identities
        if way == "server":
            site = Site(tmp_path / "store")
            try:
                copied = snapshot(site.uri, tmp_path / "copy")
            finally:
                site.stop()
        else:
            copied = snapshot(store.uri, tmp_path / "copy")
        put(store, tools, 6, 3, 3)
    assert copied.models == 3
    restored = restore(tmp_path / "copy", tmp_path / "restored")
    assert (restored.models, restored.tensors) == (copied.models, copied.tensors)
    with open_store(f"embedded:{tmp_path / 'restored'}") as store:
        assert are_same(contents(store, tools), before, tools)
        assert store.identities == identity
        assert store.verify().ok
        put(store, tools, 6, 1, 1)  # it is a store like any
        store.retire(3)


def test_a_store_of_two_servers_is_copied_as_of_one_moment(tmp_path, tools):
    sites = [Site(tmp_path / f"server{i}") for i in range(2)]
    try:
        uri = " ".join(site.uri for site in sites)
        with open_store(uri) as store:
            fill(store, tools)
            before = contents(store, tools)
            snapshot(uri, tmp_path / "copy")
        copied = restore(tmp_path / "copy", tmp_path / "restored")
        assert [folder.name for folder in copied.folders] == ["server-0", "server-1"]
    finally:
        for site in sites:
            site.stop()
    sites = [Site(folder) for folder in copied.folders]
    try:
        with open_store(" ".join(site.uri for site in sites)) as store:
            assert are_same(contents(store, tools), before, tools)
            assert store.verify().ok
    finally:
        for site in sites:
            site.stop()


def test_what_the_servers_of_a_cluster_left_is_copied(tmp_path, tools):
    cluster = tmp_path / "cluster"
    folders = [cluster / f"server.{i}" / "store" for i in range(2)]
    for folder in folders:
        folder.parent.mkdir(parents=True)
    (cluster / "generation").write_text("1")
    with pytest.raises(StoreUnreachableError, match="models are missing"):
        snapshot(f"cluster:{cluster}", tmp_path / "copy")
    sites = [Site(folder) for folder in folders]
    try:
        with open_store(" ".join(site.uri for site in sites)) as store:
            fill(store, tools)
            before = contents(store, tools)
    finally:
        for site in sites:
            site.stop()
    assert snapshot(f"cluster:{cluster}", tmp_path / "copy").models == 2
    copied = restore(tmp_path / "copy", tmp_path / "restored")
    with served_here(copied.folders) as servers, RemoteStore(servers, read_only=True) as store:
        assert are_same(contents(store, tools), before, tools)
        assert store.verify().ok


@pytest.mark.slow
def test_models_come_and_go_while_a_store_is_copied(tmp_path, tools):
    done = threading.Event()

    def write(store):
        graph = tools.graph(1, 2, 3)
        for i in range(100, 10**6):
            if done.is_set():
                return
            store.put(i, graph, tools.weights(graph, i), quality=0.5)
            if i >= 150:
                store.retire(i - 50)  # what is to be copied vanishes

    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        weights = put(store, tools, 1, 1, 2)
        writer = threading.Thread(target=write, args=(store,))
        writer.start()
        try:
            for i in range(3):
                copied = snapshot(store.uri, tmp_path / f"copy{i}")
                assert 1 <= copied.models <= 52
        finally:
            done.set()
            writer.join()
    restore(tmp_path / "copy2", tmp_path / "restored")
    with open_store(f"embedded:{tmp_path / 'restored'}") as store:
        assert tools.same(store.read(1), weights)
        assert store.verify().ok


def test_damage_is_found_before_anything_is_restored(tmp_path, tools):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        put(store, tools, 1, 1, 2)
        put(store, tools, 2, 3)
    copied = snapshot(f"embedded:{tmp_path / 'store'}", tmp_path / "copy")
    segments = copied.folders[0] / "segments"
    file = segments / f"{1:016x}.seg"
    whole = file.read_bytes()
    file.write_bytes(whole[:64] + bytes([whole[64] ^ 1]) + whole[65:])
    with pytest.raises(StoreCorruptError, match=f"{1:016x}"):
        restore(tmp_path / "copy", tmp_path / "restored")
    file.unlink()
    with pytest.raises(StoreCorruptError, match=f"{1:016x}"):
        restore(tmp_path / "copy", tmp_path / "restored")
    assert not list((tmp_path / "restored").iterdir())
    file.write_bytes(whole)
    assert restore(tmp_path / "copy", tmp_path / "restored").models == 2


def test_a_damaged_store_is_not_copied(tmp_path, tools):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        put(store, tools, 1, 1, 2)
    file = tmp_path / "store" / "segments" / f"{1:016x}.seg"
    whole = file.read_bytes()
    file.write_bytes(whole[:64] + bytes([whole[64] ^ 1]) + whole[65:])
    with pytest.raises(StoreCorruptError, match=f"{1:016x}"):
        snapshot(f"embedded:{tmp_path / 'store'}", tmp_path / "copy")


def test_what_is_no_snapshot_is_refused(tmp_path, tools):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        put(store, tools, 1, 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InvalidValueError, match="holds something already"):
        snapshot(f"embedded:{tmp_path / 'store'}", tmp_path / "full")
    with pytest.raises(InvalidValueError, match="holds something already"):
        restore(tmp_path / "store", tmp_path / "full")
    with pytest.raises(InvalidValueError, match="no snapshot"):
        restore(tmp_path / "full", tmp_path / "new")


@pytest.mark.slow
def test_the_commands(tmp_path, tools):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        put(store, tools, 1, 1)
    for arguments, told in (
        (["snapshot", tmp_path / "store", tmp_path / "copy"], "copied and verified: 1 model"),
        (["restore", tmp_path / "copy", tmp_path / "new"], "restored and verified: 1 model"),
        (["verify", tmp_path / "new"], "1 model"),
    ):
        command = [sys.executable, "-m", "parsl_tl.cli", "store", *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        assert told in result.stdout
