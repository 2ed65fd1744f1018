"""What a search tells of a store that was away, and how it comes to an end all the same."""

import io
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console
from small_models import leave
from store_servers import running, uri_of

from parsl_tl.errors import StoreUnreachableError
from parsl_tl.search import model_storage
from parsl_tl.search import retirement as retirement_module
from parsl_tl.search.model_storage import StoreStorage
from parsl_tl.search.pending_models import PendingModels
from parsl_tl.search.progress import SearchProgress
from parsl_tl.search.retirement import Retirement
from parsl_tl.search.store_failures import StoreFailures
from parsl_tl.store import open_store

AWAY = "StoreUnreachableError: store server grpc+tcp://10.0.0.1:4000: no reply: refused"


def row(model_id, objective=0.5, **metadata):
    return {"config": {"model_id": model_id}, "objective": objective, "metadata": metadata}


class TestCounts:
    def test_nothing_is_shown_when_there_was_nothing(self):
        failures = StoreFailures()
        failures.note({"transfer_error": None, "store_error": None})
        failures.note({"error": "a failed evaluation reports less"})
        assert not failures
        assert str(failures) == ""
        progress = SearchProgress(2)
        progress.finished(0.5, {"transfer_error": None})
        assert "transfer," not in progress.summary()
        assert progress.summary().count("·") == 5

    def test_counts_and_the_server(self):
        failures = StoreFailures()
        for _ in range(3):
            failures.note({"transfer_error": AWAY})
        failures.note({"store_error": AWAY, "not_stored": "000000000000000a"})
        failures.note({"store_error": f"model b: {AWAY}; model c: {AWAY}", "not_stored": "b c"})
        assert str(failures) == (
            "3 without transfer, 3 not stored: store server grpc+tcp://10.0.0.1:4000 did not answer"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "store server no reply from grpc+unix:///tmp/a.sock: refused",
            "store server grpc+unix:///tmp/a.sock cannot be reached: no answer",
            "grpc+unix:///tmp/a.sock",
        ],
    )
    def test_however_the_server_is_named(self, text):
        failures = StoreFailures()
        failures.note({"transfer_error": f"StoreUnreachableError: {text}"})
        assert str(failures) == (
            "1 without transfer: store server grpc+unix:///tmp/a.sock did not answer"
        )

    def test_several_reasons(self):
        failures = StoreFailures()
        failures.note({"transfer_error": AWAY})
        failures.note({"store_error": "StoreBusyError: store server na+sm://7-0 has much to do"})
        assert str(failures).endswith("did not answer, store server na+sm://7-0 was busy")
        failures.note({"transfer_error": "TransferError: " + "x" * 500})
        assert str(failures).endswith("did not answer (and 2 other reasons)")

    def test_what_the_end_brings(self):
        failures = StoreFailures()
        failures.note_not_stored(0, "nothing")
        failures.note_not_retired(0, "")
        assert not failures
        failures.note_not_stored(2, "they did not get to the store")
        assert str(failures) == "2 not stored: they did not get to the store"

    def test_the_display(self):
        out = io.StringIO()
        with SearchProgress(1, Console(file=out, width=200)) as progress:
            progress.finished(0.5, {"transfer_error": AWAY})
        assert "1 without transfer: store server grpc+tcp://10.0.0.1:4000 did" in out.getvalue()


class TestLateModels:
    def test_they_are_pending_until_they_come_or_fail(self):
        pending = PendingModels()
        for model_id in (1, 2, 3):
            pending.note(row(model_id, store_pending=True))
        pending.note(row(4, store_pending=False, not_stored="0000000000000001 -"))
        pending.arrived(2)
        assert 3 in pending
        assert [model_id in pending for model_id in (1, 2, 4)] == [False, False, False]
        assert pending.wait({3}, 0) == 0

    def test_waiting_has_an_end(self):
        pending = PendingModels()
        pending.note(row(1, store_pending=True))
        pending.note(row(2, store_pending=True))
        assert pending.wait({2}, 0.3) == 1

    def test_a_store_that_does_not_answer(self):
        class Away:
            def __contains__(self, model_id):
                raise StoreUnreachableError("no reply")

        pending = PendingModels()
        pending.note(row(1, store_pending=True))
        assert pending.wait(Away(), 0.3) == 1


def hang(process):
    """Stops a process; on a busy machine, its threads may run on for a while after the signal."""
    process.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{process.pid}/task")

    def states():
        return {file.read_text().rpartition(")")[2].split()[0] for file in threads.glob("*/stat")}

    while states() != {"T"}:
        time.sleep(0.01)


class TestRetirement:
    def test_a_model_that_is_on_its_way_goes_when_it_has_come(self, tmp_path):
        uri = f"embedded:{tmp_path / 'store'}"
        with open_store(uri) as store, Retirement(StoreStorage(uri), 1) as retirement:
            retirement.finished(row(1, 0.5, store_pending=True))
            retirement.finished(row(2, 0.7))
            retirement.expire(1)
            leave(store, 1, 2)
            retirement.finished(row(3, 0.6))
            assert 1 not in store
            assert 2 in store
            assert len(retirement.pending) == 0
            assert retirement.finish() == {}

    def test_waiting_for_what_is_on_its_way(self, tmp_path):
        uri = f"embedded:{tmp_path / 'store'}"
        with open_store(uri) as store, Retirement(StoreStorage(uri), 1) as retirement:
            assert retirement.wait_for_pending(0.0) == 0
            leave(store, 1)
            for model_id in (1, 2):
                retirement.finished(row(model_id, store_pending=True))
            assert retirement.wait_for_pending(0.1) == 1

    def test_a_server_that_goes_and_comes_back(self, tmp_path, monkeypatch):
        monkeypatch.setattr(retirement_module, "_FIRST_REST", 600.0)
        monkeypatch.setattr(
            model_storage,
            "open_store",
            lambda uri, **o: open_store(uri, **{"retry_seconds": 1, **o}),
        )
        with running(tmp_path, "flight", 2) as servers, open_store(uri_of(servers)) as store:
            leave(store, 2, 3, 4, 6)
            with Retirement(StoreStorage(uri_of(servers)), 0) as retirement:
                for model_id in (2, 3, 4, 6):
                    retirement.finished(row(model_id))
                retirement.expire(6)
                servers[1].kill()
                retirement.expire(3)
                retirement._settle()
                retirement.expire(2)  # while the store has its rest
                assert 2 in store
                retirement._rests_until = 0.0
                retirement.expire(4)
                retirement._settle()
                assert 2 not in store
                assert 4 not in store
                left = retirement.finish()
                assert list(left) == [3]
                assert "StoreUnreachableError: " in left[3]
                assert servers[1].address in left[3]
                servers[1].start()
                assert retirement.finish() == {}
            with open_store(uri_of(servers)) as store:
                assert len(store) == 0

    def test_a_server_that_hangs_holds_no_search_up(self, tmp_path):
        with running(tmp_path, "flight", 1) as servers, open_store(uri_of(servers)) as store:
            leave(store, 1, 2)
            with Retirement(StoreStorage(uri_of(servers)), 0) as retirement:
                retirement.finished(row(1))
                retirement.expire(1)
                assert 1 not in store
                hang(servers[0].process)
                try:
                    retirement.finished(row(2))
                    retirement.expire(2)  # nobody answers, and this returns all the same
                    assert retirement._round is not None
                    retirement.finished(row(3))
                finally:
                    servers[0].process.send_signal(signal.SIGCONT)
                assert retirement.finish() == {}
            assert len(store) == 0
