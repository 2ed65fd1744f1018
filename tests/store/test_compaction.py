"""Compaction gives space back, and nobody else notices."""

import contextlib
import gc
import importlib.util
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from store_writer import SPACE, check_weights, kill_writer, start_writer

from parsl_tl import open_store
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.errors import (
    ModelExistsError,
    ModelNotFoundError,
    StoreClosedError,
    StoreFullError,
    StorePermissionError,
)


def load(name):
    spec = importlib.util.spec_from_file_location(
        f"store_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


population = load("population")


def dense(graph):
    return [name for name in graph.layer_names if name.startswith("Dense")]


def contents(store):
    """Everything of every model, as bytes."""
    return {
        model_id: {
            name: [array.tobytes() for array in arrays]
            for name, arrays in store.read(model_id).items()
        }
        for model_id in store.models()["model_id"].to_pylist()
    }


def segment_bytes(folder):
    return sum(path.stat().st_size for path in (folder / "segments").iterdir())


def all_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check(store, folder):
    """The store is whole, and what it says of its files is what they are."""
    report = store.verify()
    assert report.ok, report.problems
    stats = store.stats()
    assert stats["bytes_segments"] == segment_bytes(folder)
    assert stats["segments"] == len(list((folder / "segments").iterdir()))
    assert list((folder / "tmp").iterdir()) == []


def put_pairs(store, tools, count, size=20_000):
    """Owners of three layers, and for each a child that holds the first; the owners retire."""
    parent, child = tools.graph(1, 2, 3), tools.graph(1, 1)
    for i in range(count):
        weights = {name: [np.full(size, i + 0.5, "f4")] for name in dense(parent)}
        store.put(2 * i, parent, weights, quality=i)
        shared = longest_common_prefix(parent, child)
        own = {name: [np.full(10, i, "f4")] for name in dense(child) if name not in shared}
        store.put(2 * i + 1, child, own, quality=i, donor=2 * i, parent=2 * i)
    for i in range(count):
        store.retire(2 * i)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_layers_that_nobody_holds_leave_the_disk(tmp_path, tools, folded, compression):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}", compression=compression) as store:
        put_pairs(store, tools, 20)
        if folded:
            store.fold()
        before, table, stats = contents(store), store.models(), store.stats()
        held = all_bytes(folder)
        report = store.compact()
        assert report.segments_rewritten == 20
        freed = held - all_bytes(folder) + (folder / "snapshot").stat().st_size * (not folded)
        assert abs(report.bytes_freed - freed) < 20_000  # the snapshot may have changed too
        assert contents(store) == before
        assert store.models().equals(table)
        assert store.stats()["bytes_live"] == stats["bytes_live"]
        if compression == "none":
            live = stats["bytes_live"]
            assert live <= segment_bytes(folder) <= live * 1.03
        check(store, folder)
        again = store.compact()
        assert again.segments_rewritten == 0
        assert abs(again.bytes_freed) < 64
        assert contents(store) == before
    with open_store(f"embedded:{folder}") as store:
        assert store.models().equals(table)
        assert contents(store) == before
        check(store, folder)


def test_an_empty_store_has_nothing_to_give(store):
    report = store.compact()
    assert (report.segments_rewritten, report.bytes_freed) == (0, 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # see the snapshot of an empty store
def test_a_store_of_the_retired_alone(tmp_path, tools):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store:
        graph = tools.graph(1)
        for model_id in range(30):
            store.put(model_id, graph, tools.weights(graph), quality=0)
        for model_id in range(30):
            store.retire(model_id)
        log = (folder / "log").stat().st_size
        assert store.compact().bytes_freed > 0
        assert (folder / "log").stat().st_size < log / 3
        assert store.find_donor(graph) is None
    with open_store(f"embedded:{folder}") as store:
        assert len(store) == 0
        with pytest.raises(ModelExistsError):
            store.put(7, graph, {}, quality=0)
        check(store, folder)


def test_views_and_matches_stay_what_they_were(tmp_path, tools):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store, open_store(f"embedded:{folder}") as other:
        put_pairs(store, tools, 3)
        mine, theirs = store.read(1), other.read(1)
        copies = [{n: [a.copy() for a in v] for n, v in read.items()} for read in (mine, theirs)]
        match = other.find_donor(tools.graph(1, 1))
        gone = other.read(match.model_id)
        copies.append({n: [a.copy() for a in v] for n, v in gone.items()})
        store.retire(match.model_id)
        store.compact()
        for read, copy in zip((mine, theirs, gone), copies, strict=True):
            assert tools.same(read, copy)
        assert tools.same(other.read(match.model_id), copies[2])
        assert match.model_id not in other
        del gone, read
        del match
        gc.collect()
        with pytest.raises(ModelNotFoundError):
            other.read(5)
        check(other, folder)


def test_lineage_ids_and_texts_survive(tmp_path, tools):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store:
        graph = tools.graph(1, 2)
        names = dense(graph)
        for model_id in range(6):
            parent = model_id - 1 if model_id else None
            weights = {} if parent is not None else {n: [np.ones(9)] for n in names}
            store.put(
                model_id, graph, weights, quality=model_id, parent=parent, donor=parent,
                attributes={"note": model_id},
            )  # fmt: skip
        for model_id in (0, 2, 3):
            store.retire(model_id)
        infos = [store.info(i) for i in (1, 4, 5)]
        for _ in range(2):
            store.compact()
            assert store.lineage(5) == [4, 3, 2, 1, 0]
            assert store.descendants(0) == [1, 2, 3, 4, 5]
            assert [store.info(i) for i in (1, 4, 5)] == infos
            assert store.graph(4) == graph
            assert [store.reference_count(0, name) for name in names] == [3] * len(names)
            for used in range(6):
                with pytest.raises(ModelExistsError):
                    store.put(used, graph, {}, quality=0)
        for model_id in (1, 4):
            store.retire(model_id)
        assert store.retire(5) == 9 * 8 * len(names)  # the last holder frees the first owner's
        check(store, folder)
        assert store.stats()["segments"] == 0


def test_who_had_the_old_log_open_goes_on(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1, 2)
    with (
        open_store(f"embedded:{folder}") as one,
        open_store(f"embedded:{folder}") as two,
        open_store(f"embedded:{folder}", read_only=True) as reader,
    ):
        one.put(1, graph, tools.weights(graph), quality=0)
        one.put(2, graph, tools.weights(graph), quality=1)
        assert [len(store) for store in (one, two, reader)] == [2, 2, 2]
        for i, (store, other) in enumerate([(one, two), (two, one)] * 3):
            store.retire(2 * i + 1)
            store.compact()
            other.put(2 * i + 3, graph, tools.weights(graph, i), quality=0)
            store.put(2 * i + 4, graph, tools.weights(graph, -i), quality=0)
            for each in (one, two, reader):
                assert len(each) == i + 3
                assert tools.same(each.read(2 * i + 3), tools.weights(graph, i))
                assert each.graph(2 * i + 4) == graph
        expected = one.models()
    with open_store(f"embedded:{folder}") as store:
        assert store.models().equals(expected)
        check(store, folder)


def test_a_hard_link_to_the_log_hides_nothing(tmp_path, tools):
    """A backup of hard links is cheap for files that only grow."""
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as one, open_store(f"embedded:{folder}") as two:
        one.put(1, graph, {}, quality=0)
        one.put(2, graph, {}, quality=0)
        one.retire(1)
        assert len(two) == 1
        os.link(folder / "log", tmp_path / "backup")
        one.compact()
        two.put(3, graph, {}, quality=0)
        assert 3 in one
    with open_store(f"embedded:{folder}") as store:
        assert store.models()["model_id"].to_pylist() == [2, 3]


def test_modes_stay(tmp_path, tools):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store:
        put_pairs(store, tools, 2)
        (folder / "log").chmod(0o664)
        store.compact()
        assert (folder / "log").stat().st_mode & 0o777 == 0o664


def test_who_only_reads_cannot_compact(tmp_path):
    open_store(f"embedded:{tmp_path / 's'}").close()
    with (
        open_store(f"embedded:{tmp_path / 's'}", read_only=True) as store,
        pytest.raises(StorePermissionError, match="read_only"),
    ):
        store.compact()
    with pytest.raises(StoreClosedError):
        store.compact()


def test_a_donor_retired_between_match_and_compaction(tmp_path, tools):
    """The layers that a child inherited just before stay, whoever compacts and when."""
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as one, open_store(f"embedded:{folder}") as two:
        parent, child = tools.graph(1, 2, 3), tools.graph(1, 2, 1)
        weights = tools.weights(parent)
        shared = longest_common_prefix(parent, child)
        for i in range(20):
            one.put(2 * i, parent, weights, quality=i)
            own = {n: a for n, a in tools.weights(child, i).items() if n not in shared}
            compacting = threading.Thread(target=one.compact)
            compacting.start()
            two.put(2 * i + 1, child, own, quality=i, donor=2 * i)
            two.retire(2 * i)
            compacting.join()
            expected = {**{n: weights[n] for n in shared if n in weights}, **own}
            assert tools.same(one.read(2 * i + 1), expected)
            assert tools.same(two.read(2 * i + 1), expected)
        one.compact()
        check(one, folder)
        check(two, folder)


def test_compactions_and_folds_of_many_threads(tmp_path, tools):
    folder = tmp_path / "s"
    failures = []
    with open_store(f"embedded:{folder}") as store:
        put_pairs(store, tools, 10, size=500)
        before = contents(store)

        def run(change):
            try:
                for _ in range(8):
                    change()
                    assert contents(store) == before
            except Exception as error:
                failures.append(error)

        changes = (store.compact, store.fold, store.compact)
        threads = [threading.Thread(target=run, args=(change,)) for change in changes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        check(store, folder)


def check_all_weights(store):
    """Those of every model; returns the ids."""
    ids = store.models()["model_id"].to_pylist()
    for model_id in ids:
        check_weights(store, model_id)
    return set(ids)


def test_others_write_and_read_meanwhile(tmp_path):
    folder = tmp_path / "s"
    writers = [start_writer(folder, first, step=2) for first in (1, 2)]
    rewritten = 0
    with (
        open_store(f"embedded:{folder}") as store,
        open_store(f"embedded:{folder}", read_only=True) as reader,
    ):
        end = time.monotonic() + 1.5
        while time.monotonic() < end or rewritten < 3:
            rewritten += store.compact().segments_rewritten
            for each in (reader, store):
                for model_id in each.models()["model_id"].to_pylist():
                    with contextlib.suppress(ModelNotFoundError):  # its writer retired it
                        check_weights(each, model_id)
        assert all(process.poll() is None for process in writers)
        said = [kill_writer(process) for process in writers]
        put, retired, perhaps = (set().union(*sets) for sets in zip(*said, strict=True))
        assert len(put) > 30
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            living = check_all_weights(store)
        assert put - retired - perhaps <= living
        assert not living & retired
        assert len(living - put) <= 2
        store.compact()
        assert check_all_weights(reader) == living
    with open_store(f"embedded:{folder}") as store:  # which sweeps what the killed were at
        assert check_all_weights(store) == living
        check(store, folder)


def kill_compactors(folder, rounds, seed):
    """One process compacts without end and is killed; another writes, and is killed with it."""
    rng = random.Random(seed)
    put, retired, perhaps, unread = set(), set(), set(), set()
    script = str(Path(population.__file__))
    for number in range(rounds):
        compactor = subprocess.Popen(
            [sys.executable, script, "compact", str(folder), "0"], stdout=subprocess.PIPE, text=True
        )
        assert compactor.stdout.readline() == "ready\n"
        process = start_writer(folder, 1 + number * 100_000)
        time.sleep(rng.uniform(0.0, 0.15))
        compactor.send_signal(signal.SIGKILL)
        compactor.wait()
        compactor.stdout.close()
        # The writer goes on without it.
        said = kill_writer(process, rng.randint(0, 12), rng.uniform(0.0, 0.05))
        put, retired, perhaps = put | said[0], retired | said[1], perhaps | said[2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a torn tail is reported, and expected
            store = open_store(f"embedded:{folder}")
        with store:
            living = check_all_weights(store)
            assert put - retired - perhaps <= living
            assert not living & retired
            assert len(living - put - unread) <= 1
            unread |= living - put
            report = store.verify()
            assert report.ok, report.problems
            assert list((folder / "tmp").iterdir()) == []
            store.compact()  # removes what a retirement may have left behind
            assert check_all_weights(store) == living
            assert store.stats()["segments"] == len(list((folder / "segments").iterdir()))
            for used in (put | unread) - living:
                with pytest.raises(ModelExistsError):
                    store.put(used, SPACE.build([1] * 6, (3,), (2,)), {}, quality=0)
            for model_id in sorted(living)[:-20]:
                store.retire(model_id)
                retired.add(model_id)
    return put


def test_a_retirement_that_died_behind_its_record_leaves_no_segment(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        store.put(1, graph, tools.weights(graph), quality=0)
        segment = next((folder / "segments").iterdir())
        data = segment.read_bytes()
        store.retire(1)
    # As the next system call would have found it: the owners were named before the record.
    intent = struct.pack("<QQ", 1, 1)
    assert (folder / "intent").read_bytes() == struct.pack("<QQ", 0, 1)
    segment.write_bytes(data)
    (folder / "intent").write_bytes(intent)
    with open_store(f"embedded:{folder}") as store:
        store.put(2, graph, {}, quality=0)
        assert list((folder / "segments").iterdir()) == []


def test_kill_the_compactor(tmp_path):
    assert len(kill_compactors(tmp_path / "s", 4, seed=1)) > 10


@pytest.mark.slow
def test_kill_the_compactor_many_times(tmp_path):
    for part in range(4):
        assert len(kill_compactors(tmp_path / f"s{part}", 15, seed=2 + part)) > 20


LIMITED = """
import resource, sys
from parsl_tl import open_store
from parsl_tl.errors import StoreError
folder, limit = sys.argv[1], int(sys.argv[2])
store = open_store("embedded:" + folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    store.compact()
except StoreError as error:
    print("failed:", error)
"""


def test_a_log_that_cannot_grow_still_tells_the_size_of_segments(tmp_path, tools):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store:
        put_pairs(store, tools, 4, size=20)
        before = contents(store)
    limit = (folder / "log").stat().st_size
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "failed: cannot write" in run.stdout, run.stderr
    with open_store(f"embedded:{folder}") as store:
        assert contents(store) == before
        assert store.verify().ok
        store.compact()
        assert contents(store) == before
        check(store, folder)


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of eight megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs needs rights that this process does not have")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(disk, leave=0):
    """Writes a file until the disk is full, and makes it smaller by some bytes."""
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass  # full now, to the last page
        ballast.truncate(ballast.tell() - leave)


def test_a_full_disk_leaves_all_as_it_was(small_disk, tools):
    folder = small_disk / "s"
    with open_store(f"embedded:{folder}") as store:
        put_pairs(store, tools, 12)
        before = contents(store)
        fill_up(small_disk)
        with contextlib.suppress(StoreFullError):  # what is kept back may be enough
            store.compact()
        assert contents(store) == before
        check(store, folder)
        (small_disk / "ballast").unlink()
        store.compact()
        assert contents(store) == before
        check(store, folder)
    with open_store(f"embedded:{folder}") as store:
        assert contents(store) == before


def test_little_space_is_enough_to_make_more(small_disk, tools):
    folder = small_disk / "s"
    with open_store(f"embedded:{folder}") as store:
        put_pairs(store, tools, 12)
        before = contents(store)
        # Room for the new log, the snapshot, and three of the twelve segments.
        fill_up(small_disk, leave=400_000)
        gc.collect()
        assert store.compact().segments_rewritten == 12
        assert contents(store) == before
