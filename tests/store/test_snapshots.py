"""Snapshots come and go, are too new or too old: the log decides what is stored."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import store_population as population
from store_population import REAL, check_answers, ids_of

from parsl_tl import open_store
from parsl_tl.errors import StorePermissionError


def test_opening_takes_the_snapshot(folded):
    folder, living = folded
    with open_store(f"embedded:{folder}", read_only=True) as store:
        stats = store.stats()
        assert stats["changes_since_snapshot"] == 0
        assert stats["bytes_snapshot"] == (folder / "snapshot").stat().st_size
        assert 0 < stats["bytes_index_shared"] < stats["bytes_snapshot"]
        check_answers(store, living)


def test_without_a_snapshot_all_is_as_with_it(folded):
    folder, living = folded
    with open_store(f"embedded:{folder}", read_only=True) as store:
        table = store.models()
    (folder / "snapshot").unlink()
    for read_only in (True, False):
        with open_store(f"embedded:{folder}", read_only=read_only) as store:
            assert store.stats()["bytes_snapshot"] == 0
            assert store.models().equals(table)
            check_answers(store, living)
            assert not (folder / "snapshot").exists()


def test_folding_changes_nothing_that_can_be_seen(folded, tools):
    folder, living = folded
    with open_store(f"embedded:{folder}") as store:
        population.put_population(store, range(100, 160))
        store.retire(3)
        store.retire(110)
        graph = tools.graph(1, 2, 3)
        own = {
            name: arrays
            for name, arrays in tools.weights(graph).items()
            if name not in store.composition(REAL)
        }
        store.put(REAL + 3, graph, own, quality=0.1, donor=REAL, parent=REAL + 1)
        store.retire(REAL)
        living = [i for i in living if i not in (3, REAL)]
        living += [i for i in range(100, 160) if i != 110] + [REAL + 3]
        kept = (REAL + 1, REAL + 2, REAL + 3)

        def everything():
            return (
                store.models(),
                [store.composition(i) for i in kept],
                [
                    {name: [a.tobytes() for a in arrays] for name, arrays in store.read(i).items()}
                    for i in kept
                ],
                store.lineage(REAL + 3),
                store.descendants(REAL),
                store.graph(REAL + 3),
                store.info(REAL + 3),
            )

        before = everything()
        check_answers(store, living)
        store.fold()
        assert store.stats()["changes_since_snapshot"] == 0
        assert everything() == before
        check_answers(store, living)


def test_the_snapshot_of_an_empty_store_is_whole(tmp_path):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store:
        population.put_population(store, [1])
        store.retire(1)
        store.fold()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = open_store(f"embedded:{folder}")
    with store:
        assert store.stats()["changes_since_snapshot"] == 0
        assert 1 not in store


def test_a_snapshot_older_than_the_log_is_a_beginning(folded):
    folder, living = folded
    with open_store(f"embedded:{folder}") as store:
        population.put_population(store, range(200, 210))
        store.retire(12)
    living = [i for i in living if i != 12] + list(range(200, 210))
    with open_store(f"embedded:{folder}") as store:
        assert store.stats()["changes_since_snapshot"] == 11
        check_answers(store, living)


def restore_older_log(folder, before, after):
    """Puts, folds, and puts back the log of the time before."""
    with open_store(f"embedded:{folder}") as store:
        population.put_population(store, before)
    shutil.copy(folder / "log", folder.parent / "copy")
    with open_store(f"embedded:{folder}") as store:
        population.put_population(store, after)
        store.fold()
    shutil.copy(folder.parent / "copy", folder / "log")


def test_a_snapshot_newer_than_the_log_is_passed_over(tmp_path):
    folder = tmp_path / "s"
    restore_older_log(folder, range(5), range(5, 200))
    for read_only in (True, False):
        with open_store(f"embedded:{folder}", read_only=read_only) as store:
            check_answers(store, list(range(5)))


def test_a_snapshot_newer_than_the_log_stays_passed_over(tmp_path):
    folder = tmp_path / "s"
    restore_older_log(folder, range(5), range(5, 10))
    with open_store(f"embedded:{folder}") as store:
        for first in range(500, 600, 10):
            population.put_population(store, range(first, first + 10))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        store = open_store(f"embedded:{folder}")
    with store:
        check_answers(store, [*range(5), *range(500, 600)])


def test_a_fold_that_nobody_called_for_comes_by_itself(tmp_path):
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        population.put_population(store, range(6000))
        deadline = time.monotonic() + 60
        while not (tmp_path / "s" / "snapshot").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while store.stats()["changes_since_snapshot"] >= 4096:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(store) == 6000
        population.put_population(store, [6000])
        assert 6000 in store


def test_what_comes_while_it_folds_is_folded_too(tmp_path):
    first, second = (population.population_of(range(5000 * i, 5000 * (i + 1))) for i in range(2))
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        store.put_architectures(*first)
        store.put_architectures(*second)  # the last that is written
        deadline = time.monotonic() + 60
        while store.stats()["changes_since_snapshot"] >= 4096:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(store) == 10_000


@pytest.mark.slow
def test_who_writes_faster_than_it_is_folded_waits(tmp_path):
    parts = [population.population_of(range(20_000 * i, 20_000 * (i + 1))) for i in range(8)]
    with open_store(f"embedded:{tmp_path / 's'}") as store:

        def put():
            for part in parts:
                store.put_architectures(*part)

        with open(tmp_path / "s" / "snapshot.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # nobody can fold
            thread = threading.Thread(target=put)
            thread.start()
            while thread.is_alive() and len(store) < 131_072:
                time.sleep(0.02)
            thread.join(1)
            assert len(store) < 160_000
        thread.join(60)
        assert len(store) == 160_000
        assert store.stats()["changes_since_snapshot"] < 131_072


def test_a_fold_waits_for_one_in_another_process(tmp_path):
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        population.put_population(store, range(10))
        with open(tmp_path / "s" / "snapshot.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            thread = threading.Thread(target=store.fold)
            thread.start()
            thread.join(0.2)
        thread.join(60)
        assert not thread.is_alive()
        assert store.stats()["changes_since_snapshot"] == 0


def test_who_only_reads_cannot_fold(folded):
    folder, _ = folded
    before = (folder / "snapshot").read_bytes()
    with (
        open_store(f"embedded:{folder}", read_only=True) as store,
        pytest.raises(StorePermissionError, match="read_only"),
    ):
        store.fold()
    assert (folder / "snapshot").read_bytes() == before


AS_NOBODY = """
import os, sys
import pyarrow
from parsl_tl import open_store
import parsl_tl.store.embedded
os.setgid(65534); os.setuid(65534)
with open_store("embedded:" + sys.argv[1], read_only=True) as store:
    print("models:", len(store), store.models()["model_id"].to_pylist()[:3])
    print("verified:", store.verify().ok)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
@pytest.mark.parametrize(
    "hidden",
    [
        False,
        True,
    ],
)
def test_who_may_only_read_takes_the_snapshot_or_does_without(hidden):
    # Not below pytest's folders, which others may not enter.
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        with open_store(f"embedded:{base}/s") as store:
            population.put_population(store, range(20))
            store.fold()
        # Let in by the owner, by hand: a store is its owner's alone.
        for path in [Path(base, "s"), *Path(base, "s").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        if hidden:
            Path(base, "s", "snapshot").chmod(0o600)
        run = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, f"{base}/s"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "models: 20 [0, 1, 2]" in run.stdout, run.stderr
    assert "verified: True" in run.stdout


def test_many_that_fail_leave_what_was_before(tmp_path):
    store = open_store(f"embedded:{tmp_path / 's'}")
    population.put_population(store, [5])
    ids = list(range(10_000, 12_500))
    ids[2100] = 5  # in the third group of 1024
    with pytest.raises(Exception, match=r"used before.*first 2048 models were stored"):
        population.put_population(store, ids)
    assert ids_of(store) == [5, *range(10_000, 12_048)]
    with pytest.raises(Exception, match="used before"):
        population.put_population(store, [20_000, 5])
    with pytest.raises(Exception, match="given twice"):
        population.put_population(store, [20_000, 20_000])
    assert 20_000 not in store
    assert store.verify().ok


@pytest.mark.slow
def test_a_compacted_log_can_be_replayed_in_parts(tmp_path, tools):
    folder = tmp_path / "s"
    with open_store(f"embedded:{folder}") as store:
        parent, child = tools.graph(1, 2), tools.graph(1, 2, 3)
        weights = tools.weights(parent)
        store.put(10**6, parent, weights, quality=0)
        count, layers = 270_000, 2
        store.put_architectures(
            np.arange(count, dtype=np.uint64),
            np.zeros(count),
            np.arange(count + 1) * layers,
            np.tile(np.arange(1, 1 + layers, dtype=np.uint64), count),
            np.zeros(count * layers, np.uint16),
            ["Dense"],
            np.zeros(count + 1, np.int64),
            np.empty((0, 2), np.uint32),
        )
        own = {n: arrays for n, arrays in tools.weights(child).items() if n not in weights}
        store.put(10**6 + 1, child, own, quality=0, donor=10**6)
        store.retire(10**6)
        store.compact()
        inherited = store.read(10**6 + 1)
    (folder / "snapshot").unlink()  # as its own errors advise
    with open_store(f"embedded:{folder}") as store:
        assert len(store) == count + 1
        assert tools.same(store.read(10**6 + 1), inherited)
