"""Workers ask the storage of a search over the network."""

import copy
import gc
import pickle
import threading
import weakref

import pytest
import zmq
from deephyper.evaluator.storage import MemoryStorage

from parsl_tl.errors import JobStorageError
from parsl_tl.search import storage_calls
from parsl_tl.search.job_storage import JobStorage
from parsl_tl.search.storage_calls import StorageAddress, WorkerStorage
from parsl_tl.search.storage_server import StorageServer


@pytest.fixture(params=[JobStorage, MemoryStorage])
def storage(request):
    return request.param()


@pytest.fixture
def server(storage):
    # An address that leads nowhere, as some of a machine's do from some of the workers.
    server = StorageServer(storage, ["127.0.0.1", "127.0.0.2"])
    yield server
    server.close()


def test_calls_reach_the_storage_and_answers_come_back(storage, server):
    worker = pickle.loads(pickle.dumps(WorkerStorage(server.address)))
    search = storage.create_new_search()
    job = worker.create_new_job(search)
    worker.store_job_in(job, args=({"x": 1},))
    worker.store_job_metadata(job, "_completed_rung_0", 0.5)
    worker.store_job_out(job, 2.0)
    worker.store_job_status(job, 2)
    assert storage.load_all_job_ids(search) == worker.load_all_job_ids(search) == [job]
    assert worker.load_metadata_from_all_jobs(search, "_completed_rung_0") == [0.5]
    assert worker.load_out_from_all_jobs(search) == [2.0]
    loaded = worker.load_job(job)
    assert {name: loaded[name] for name in ("status", "in", "out", "metadata")} == {
        "status": 2,
        "in": {"args": ({"x": 1},), "kwargs": None},
        "out": 2.0,
        "metadata": {"_completed_rung_0": 0.5},
    }
    assert copy.deepcopy(worker).load_job_status(job) == 2
    assert worker.load_jobs([job]).keys() == {job}


def test_who_looks_at_a_status_is_known(storage, server):
    worker = WorkerStorage(server.address)
    job = worker.create_new_job(storage.create_new_search())
    assert not server.is_watched(job)
    worker.load_job_status(job)
    assert server.is_watched(job)
    server.forget(job)
    assert not server.is_watched(job)


def test_errors_of_the_storage_are_the_callers(storage, server):
    worker = WorkerStorage(server.address)
    with pytest.raises(KeyError):
        worker.load_job("7.0")
    with pytest.raises(AttributeError):
        worker.drop_everything()
    assert worker.load_all_search_ids() == []


def test_threads_of_a_worker_get_their_own_answers(storage, server):
    worker = WorkerStorage(server.address)
    search = storage.create_new_search()
    jobs = [worker.create_new_job(search) for _ in range(20)]
    for number, job in enumerate(jobs):
        worker.store_job_status(job, number)
    answers = {}

    def look(job):
        answers[job] = [worker.load_job_status(job) for _ in range(20)]

    threads = [threading.Thread(target=look, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {job: [number] * 20 for number, job in enumerate(jobs)}


def test_garbage_ends_no_server(storage, server):
    worker = WorkerStorage(server.address)
    socket = storage_calls._connection(server.address)._socket
    for message in (b"", b"garbage", pickle.dumps(1), pickle.dumps((1, "_connect", (), {}))):
        socket.send(message)
    assert worker.load_all_search_ids() == []


def test_without_the_key_nobody_is_answered(server, monkeypatch):
    monkeypatch.setattr(storage_calls, "_DEADLINE", 1.0)
    wrong = StorageAddress(server.address.endpoints, zmq.curve_keypair()[0])
    with pytest.raises(JobStorageError, match="RedisStorage"):
        WorkerStorage(wrong).load_all_search_ids()
    assert WorkerStorage(server.address).load_all_search_ids() == []


def test_a_server_that_is_closed_lets_go_of_its_storage():
    storage = JobStorage()
    server = StorageServer(storage, ["127.0.0.1"])
    kept = weakref.ref(storage)
    server.close()
    del storage, server
    gc.collect()
    assert kept() is None
