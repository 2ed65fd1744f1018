"""Full disks lose nothing, whatever is being written."""

import contextlib
import gc
import subprocess
import sys

import numpy as np
import pytest
import store_population as population
from compaction_checks import check, contents, put_pairs
from small_disk import fill_up
from store_population import check_answers

from parsl_tl import open_store
from parsl_tl.errors import StoreFullError


@pytest.mark.parametrize("small_disk", [1], indirect=True)
def test_a_full_disk_loses_nothing(small_disk, tools):
    graph = tools.graph(1)
    name = graph.layer_names[1]
    with open_store(f"embedded:{small_disk / 's'}") as store:
        stored = 0
        with pytest.raises(StoreFullError, match="Free space"):  # noqa: PT012 - which one, is free
            for model_id in range(100):
                store.put(model_id, graph, {name: [np.full(10_000, model_id, "f8")]}, quality=0)
                stored += 1
        assert 5 < stored < 20
        for fill in (stored, stored + 1):  # the record itself, and with it the log's end
            with pytest.raises(StoreFullError):
                store.put(fill, graph, {name: [np.zeros(20_000, "f8")]}, quality=0)
        assert len(store) == stored
    with open_store(f"embedded:{small_disk / 's'}") as store:
        assert len(store) == stored
        for model_id in range(stored):
            assert (store.read(model_id)[name][0] == model_id).all()
        assert store.verify().ok
        store.retire(0)
        store.put(stored, graph, {name: [np.full(9_000, stored, "f8")]}, quality=0)
        assert store.verify().ok


@pytest.mark.parametrize("small_disk", [1], indirect=True)
def test_a_log_that_cannot_grow_leaves_no_segment_behind(small_disk, tools):
    graph = tools.graph(1)
    with open_store(f"embedded:{small_disk / 's'}") as store:
        store.put(0, graph, {}, quality=0)
        fill_up(small_disk)
        failed = 0
        for model_id in range(1, 200):
            try:
                store.put(model_id, graph, {}, quality=0)
            except StoreFullError:
                failed += 1
        assert failed > 0
        (small_disk / "ballast").unlink()
        count = len(store)
        store.put(1000, graph, {}, quality=0)
    with open_store(f"embedded:{small_disk / 's'}") as store:
        assert len(store) == count + 1


@pytest.mark.parametrize("small_disk", [2], indirect=True)
def test_a_snapshot_that_does_not_fit_leaves_all_as_it_was(small_disk):
    folder = small_disk / "s"
    with open_store(f"embedded:{folder}") as store:
        population.put_population(store, range(100))
        store.fold()
        before = (folder / "snapshot").read_bytes()
        population.put_population(store, range(100, 1000))
        fill_up(small_disk)
        for change in (store.fold, store.fold):
            with pytest.raises(StoreFullError):
                change()
        assert (folder / "snapshot").read_bytes() == before
        assert list((folder / "tmp").iterdir()) == []
        check_answers(store, list(range(1000)))
        (small_disk / "ballast").unlink()
        store.fold()
        assert store.stats()["changes_since_snapshot"] == 0
        check_answers(store, list(range(1000)))


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


@pytest.mark.parametrize("small_disk", [8], indirect=True)
def test_compaction_on_a_full_disk_leaves_all_as_it_was(small_disk, tools):
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


@pytest.mark.parametrize("small_disk", [8], indirect=True)
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
