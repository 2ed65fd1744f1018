"""Readers go on while a writer has the store, or waits for it."""

import fcntl
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from parsl_tl import open_store


@pytest.fixture
def filled(tmp_path, tools):
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        graph = tools.graph(1, 2)
        store.put(1, graph, tools.weights(graph, 1.0), quality=1.0)
        store.put(2, graph, {}, quality=2.0, donor=1)
        yield store, graph


def ask_everything(store, graph):
    match = store.find_donor(graph)
    answers = [match.model_id, sorted(store.read(match.model_id)), len(store)]
    answers.append(store.find_donors([graph, graph]).model_ids.tolist())
    return [*answers, store.info(1)["quality"], store.stats()["models"], store.lineage(2)]


@pytest.mark.parametrize("lock", ["lock", "snapshot.lock"])
def test_while_another_process_writes_or_folds(filled, tools, lock):
    store, graph = filled
    expected = ask_everything(store, graph)
    folder = store.uri.removeprefix("embedded:")
    waiting = store.put if lock == "lock" else store.fold
    arguments = (3, graph, tools.weights(graph)) if lock == "lock" else ()
    options = {"quality": 0.0} if lock == "lock" else {}
    with open(f"{folder}/{lock}") as file, ThreadPoolExecutor(3) as threads:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a writer of another process holds it
        writer = threads.submit(waiting, *arguments, **options)
        readers = [threads.submit(ask_everything, store, graph) for _ in range(50)]
        # Would never come, if it waited for the lock.
        assert all(reader.result(timeout=60) == expected for reader in readers)
        assert not writer.done()
        fcntl.flock(file, fcntl.LOCK_UN)
        writer.result(timeout=60)
    assert (3 in store) == (lock == "lock")


def test_while_this_process_puts_what_is_large(filled, tools):
    store, graph = filled
    name = graph.layer_names[1]
    large = np.zeros(1 << 26, np.uint8)
    stop = threading.Event()

    def write():
        for model_id in range(10, 20):
            store.put(model_id, graph, {name: [large]}, quality=-1.0)
            store.retire(model_id)
        stop.set()

    def read():
        rounds = 0
        while not stop.is_set():
            assert store.find_donor(graph).model_id == 2
            rounds += 1
        return rounds

    with ThreadPoolExecutor(3) as threads:
        writer = threads.submit(write)
        readers = [threads.submit(read) for _ in range(2)]
        writer.result(timeout=120)
        # Ten puts take long beside a query; a reader that waited for each would have made ten.
        assert all(reader.result(timeout=60) > 20 for reader in readers)
