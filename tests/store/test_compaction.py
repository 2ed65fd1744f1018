"""Compaction gives space back, and nobody else notices."""

import gc
import os

import numpy as np
import pytest
from compaction_checks import all_bytes, check, contents, dense, put_pairs, segment_bytes

from parsl_tl import open_store
from parsl_tl.errors import (
    ModelExistsError,
    ModelNotFoundError,
    StoreClosedError,
    StorePermissionError,
)


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
