"""Many queries in one call: the same answers as one by one, on any number of threads."""

import threading

import numpy as np
import pytest

from parsl_tl.errors import InvalidValueError, StoreClosedError


def candidates(tools, count):
    rng = np.random.default_rng(count)
    return [tools.graph(*rng.integers(0, 4, 6).tolist()) for _ in range(count)]


def test_no_queries_give_no_answers(store):
    empty = store.find_donors([])
    assert len(empty) == 0
    assert empty.found.dtype == bool
    assert empty.model_ids.dtype == np.uint64


def test_an_empty_store_finds_nothing(store, tools):
    many = store.find_donors(candidates(tools, 3))
    assert not many.found.any()
    assert len(many) == 3


@pytest.mark.parametrize("threads", [None, 1, 2, 64])
def test_as_one_by_one(store, tools, threads):
    for model_id, graph in enumerate(candidates(tools, 150)):
        store.put(model_id, graph, {}, quality=model_id % 7)
        if model_id == 70:
            store.fold()
    for model_id in range(0, 150, 4):
        store.retire(model_id)
    queries = candidates(tools, 300)  # several pieces for every thread
    many = store.find_donors(queries, threads=threads, exclude={1, 2, 3}, min_quality=1)
    for i, query in enumerate(queries):
        match = store.find_donor(query, exclude={1, 2, 3}, min_quality=1)
        assert many.found[i] == (match is not None)
        if match is not None:
            assert many.model_ids[i] == match.model_id
            assert many.scores[i] == len(match.layer_names)
            assert many.qualities[i] == match.quality


@pytest.mark.parametrize("threads", [0, -1])
def test_without_threads_nothing_is_asked(store, tools, threads):
    with pytest.raises(InvalidValueError, match=f"threads={threads}"):
        store.find_donors(candidates(tools, 1), threads=threads)


def test_ids_above_63_bits(store, tools):
    graph = tools.graph(1)
    store.put(2**64 - 1, graph, {}, quality=0)
    assert store.find_donors([graph]).model_ids.tolist() == [2**64 - 1]
    assert not store.find_donors([graph], exclude=[2**64 - 1]).found.any()


def test_a_closed_store_answers_nothing(store, tools):
    store.close()
    with pytest.raises(StoreClosedError):
        store.find_donors(candidates(tools, 1))


def test_batches_while_another_thread_puts_and_retires(store, tools):
    """The best is never one that was retired before the call, and never worse than what stays."""
    graph = tools.graph(1, 2, 3)
    store.put(0, graph, {}, quality=0)
    retired = [0]  # the highest id that was retired before
    stop = threading.Event()

    def churn():
        model_id = 1
        while not stop.is_set():
            store.put(model_id, graph, {}, quality=1)
            store.retire(model_id)
            retired[0] = model_id
            if model_id % 50 == 0:
                store.fold()
            model_id += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(60):
            before = retired[0]
            many = store.find_donors([graph] * 130, threads=2)
            assert many.found.all()
            ids = many.model_ids.tolist()
            assert all(model_id == 0 or model_id > before for model_id in ids)
    finally:
        stop.set()
        thread.join()
    assert retired[0] > 5
    assert store.verify().ok
