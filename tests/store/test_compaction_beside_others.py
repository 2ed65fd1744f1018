"""Compaction while others read, write, fold and are killed."""

import contextlib
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings

import pytest
from compaction_checks import check, contents, put_pairs
from store_population import SCRIPT
from store_writer import SPACE, check_weights, kill_writer, start_writer

from parsl_tl import open_store
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.errors import (
    ModelExistsError,
    ModelNotFoundError,
)


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
    script = str(SCRIPT)
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
@pytest.mark.parametrize("stores", [1, pytest.param(4, marks=pytest.mark.full)])
def test_kill_the_compactor_many_times(tmp_path, stores):
    for part in range(stores):
        assert len(kill_compactors(tmp_path / f"s{part}", 15, seed=2 + part)) > 20
