"""Many processes over one store: the same answers, and one index between them."""

import gc
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import store_population as population
from store_population import SCRIPT

from parsl_tl import open_store
from parsl_tl.errors import ModelExistsError

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

# Opens the store, asks what it is asked, and tells what it found and what memory that took.
ASK = """
import gc, importlib.util, json, os, psutil, sys
import numpy as np, pyarrow
spec = importlib.util.spec_from_file_location("population", sys.argv[1])
population = importlib.util.module_from_spec(spec)
spec.loader.exec_module(population)
from parsl_tl import open_store
from parsl_tl.store.embedded import EmbeddedStore

folder, what = sys.argv[2], sys.argv[3]

def private():
    gc.collect()
    memory = psutil.Process().memory_full_info()
    return memory.uss

def snapshot_map():
    found = [m for m in psutil.Process().memory_maps(grouped=False) if m.path.endswith("/snapshot")]
    return {
        "rss": sum(m.rss for m in found), "size": sum(m.size for m in found),
        "pss": sum(m.pss for m in found),
        "private": sum(m.private_clean + m.private_dirty for m in found),
    }

queries = [population.hashes_of(seed) for seed in range(10**6, 10**6 + 40)]
with open_store("embedded:" + sys.argv[4]) as warm:  # what the first use of anything costs
    population.put_population(warm, range(10))
    warm.fold()
    population.ask(warm, queries[0])
before = private()
store = open_store("embedded:" + folder, read_only=what == "read")
if what == "read":
    answers = [store.read(model_id)[name][0].sum().item()
               for model_id in (10**12, 10**12 + 1) for name in store.shapes(model_id)]
else:
    answers = [population.ask(store, query) for query in queries]
print(json.dumps(answers), flush=True)
sys.stdin.readline()  # until all others have come as far
print(json.dumps({"private": private() - before, "map": snapshot_map(), "stats": store.stats()}),
      flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """20,000 models, folded; two of them with weights."""
    folder = tmp_path_factory.mktemp("large") / "s"
    from tests.store.conftest import make_graph

    with open_store(f"embedded:{folder}") as store:
        for first in range(0, 20_000, 5000):
            population.put_population(store, range(first, first + 5000))
        graph = make_graph(1, 2)
        name = graph.layer_names[1]
        for model_id in (10**12, 10**12 + 1):
            store.put(model_id, graph, {name: [np.arange(5.0)]}, quality=0)
        store.fold()
        assert store.stats()["changes_since_snapshot"] == 0
    return folder


class Asker:
    def __init__(self, folder, what, warm):
        self.process = subprocess.Popen(
            [sys.executable, "-c", ASK, str(SCRIPT), str(folder), what, str(warm)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self):
        return json.loads(self.process.stdout.readline())

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.process.communicate("\n")
        assert self.process.returncode == 0


@pytest.mark.slow
def test_eight_processes_share_one_index(large, tmp_path):
    askers = [Asker(large, "ask", tmp_path / f"warm{i}") for i in range(8)]
    answers = [asker.line() for asker in askers]
    living = list(range(20_000))
    queries = [population.hashes_of(seed) for seed in range(10**6, 10**6 + 40)]
    keys = {model_id: set(population.hashes_of(model_id)) for model_id in living}
    for i, query in enumerate(queries[:10]):
        best = max(
            (len(keys[m] & set(query)), population.quality_of(m), m)
            for m in living
            if keys[m] & set(query)
        )
        assert answers[0][i] == [best[2], best[0]]
    assert all(answer == answers[0] for answer in answers)
    for asker in askers:
        asker.go_on()
    told = [asker.line() for asker in askers]
    for asker in askers:
        asker.end()
    shared = told[0]["stats"]["bytes_index_shared"]
    size = told[0]["stats"]["bytes_snapshot"]
    assert shared > 500_000
    for each in told:
        assert each["stats"]["changes_since_snapshot"] == 0
        assert each["map"]["size"] >= size  # mapped as a whole
        assert each["private"] < shared / 2
    # All eight together hold the file's pages once.
    assert sum(each["map"]["pss"] for each in told) < 1.3 * size


def test_who_only_reads_weights_leaves_the_index_alone(large, tmp_path):
    asker = Asker(large, "read", tmp_path / "warm")
    assert asker.line() == [10.0, 10.0]
    asker.go_on()
    reader = asker.line()
    asker.end()
    asker = Asker(large, "ask", tmp_path / "warm2")
    asker.line()
    asker.go_on()
    searcher = asker.line()
    asker.end()
    postings = 4 * population.LAYERS * 20_000
    assert reader["map"]["size"] == searcher["map"]["size"]
    assert reader["map"]["rss"] < searcher["map"]["rss"] - postings / 2


def test_what_one_process_folds_the_others_take(tmp_path):
    """A delta that was folded elsewhere is dropped here, at the latest when there is more."""
    with (
        open_store(f"embedded:{tmp_path / 's'}") as writer,
        open_store(f"embedded:{tmp_path / 's'}", read_only=True) as reader,
    ):
        population.put_population(writer, range(6000))
        assert len(reader) == 6000
        writer.fold()
        deadline = time.monotonic() + 60
        model_id = 6000
        while reader.stats()["changes_since_snapshot"] > 4096:
            population.put_population(writer, [model_id])
            model_id += 1
            time.sleep(0.02)
            assert time.monotonic() < deadline
        assert reader.models().equals(writer.models())


def test_processes_that_use_one_id_do_not_both_get_it(tmp_path, tools):
    stores = [open_store(f"embedded:{tmp_path / 's'}") for _ in range(4)]
    graph = tools.graph(1, 2)
    won, lost = [], []

    def put(i, store):
        for model_id in range(60):
            try:
                store.put(model_id, graph, tools.weights(graph, i), quality=i)
                won.append((model_id, i))
            except ModelExistsError:
                lost.append(model_id)

    threads = [threading.Thread(target=put, args=each) for each in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(model_id for model_id, _ in won) == list(range(60))
    assert len(lost) == 180
    for store in stores:
        for model_id, i in won:
            assert tools.same(store.read(model_id), tools.weights(graph, i))
        assert store.verify().ok
        store.close()


def test_a_new_store_can_be_opened_by_many_at_once(tmp_path):
    failures = []
    for number in range(1500):
        barrier = threading.Barrier(4)

        def open_one(i, number=number, barrier=barrier):
            barrier.wait()
            time.sleep(0.0005 * i)
            try:
                open_store(f"embedded:{tmp_path / str(number)}").close()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=open_one, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            break
    assert failures == []


def test_a_temporary_name_that_is_taken_is_passed_over(tmp_path, tools):
    """Containers that share a folder may each have a process of this number."""
    folder = tmp_path / "s"
    store = open_store(f"embedded:{folder}")
    for number in range(20_000):
        (folder / "tmp" / f"tmp-{os.getpid()}-{number}").touch()
    graph = tools.graph(1)
    store.put(1, graph, tools.weights(graph), quality=0)
    assert tools.same(store.read(1), tools.weights(graph))


def wait_for(pid, seconds):
    """The child's exit status; None, and it is killed, if it does not end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


def test_a_fork_can_close_what_it_inherited(tmp_path):
    store = open_store(f"embedded:{tmp_path / 's'}")
    population.put_population(store, range(6000))
    deadline = time.monotonic() + 60
    while store.stats()["changes_since_snapshot"] >= 4096:  # until the fold's thread is there
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    pid = os.fork()
    if pid == 0:
        store.close()
        del store
        gc.collect()
        os._exit(0)
    assert wait_for(pid, 5) == 0
    assert len(store) == 6000
    store.close()


def test_a_fork_takes_no_lock_with_it(tmp_path):
    import fcntl

    store = open_store(f"embedded:{tmp_path / 's'}")
    stop, children = threading.Event(), []

    def put():
        first = 0
        while not stop.is_set():
            population.put_population(store, range(first, first + 50))
            first += 50

    thread = threading.Thread(target=put)
    thread.start()
    free = True
    try:
        for _ in range(60):
            time.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                time.sleep(120)
                os._exit(0)
            children.append(pid)
            deadline = time.monotonic() + 3
            with open(tmp_path / "s" / "lock") as lock:
                while True:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        free = time.monotonic() < deadline
                        if not free:
                            break
                        time.sleep(0.001)
            if not free:
                break
    finally:
        stop.set()
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        thread.join()
        store.close()
    assert free
