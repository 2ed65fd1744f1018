"""Storing in the background: what is on its way, what goes wrong with it, and who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import candidate

from parsl_tl.errors import ModelExistsError, StoreFullError
from parsl_tl.store import open_store
from parsl_tl.transfer import StoreTransfer
from parsl_tl.transfer.connections import connect, disconnect
from parsl_tl.transfer.pending import MOST_PENDING, PendingWriter, pending_writer_of
from parsl_tl.transfer.weights import layers_with_weights, read_weights


@pytest.fixture
def method(tmp_path: Path) -> Iterator[StoreTransfer]:
    yield StoreTransfer(f"embedded:{tmp_path / 'store'}", overlap=True)
    disconnect()


class Gate:
    """Holds back the thread that stores, until it is opened."""

    def __init__(self, method: StoreTransfer) -> None:
        self.event = threading.Event()
        pending_writer_of(method.uri).put(999, [], 0.0, lambda: self.event.wait(30))

    def open_soon(self) -> None:
        threading.Timer(0.2, self.event.set).start()


def leave(method: StoreTransfer, model_id: int, *units: int, **kwargs: Any) -> Any:
    model, graph = candidate(*units)
    names = list(layers_with_weights(model, graph))
    return method.store(model, graph, names, model_id=model_id, quality=0.5, **kwargs)


def test_at_most_two_are_on_their_way_and_in_order() -> None:
    writer, gates, seen = PendingWriter(), [threading.Event() for _ in range(4)], []

    def store(i: int) -> None:
        gates[i].wait(30)
        seen.append(i)

    for i in range(MOST_PENDING):
        writer.put(i, [], 0.0, lambda i=i: store(i))
    third = threading.Thread(target=writer.put, args=(2, [], 0.0, lambda: store(2)))
    third.start()
    third.join(0.2)
    assert third.is_alive()  # it waits for one of the two
    assert [item.model_id for item in writer.pending] == [0, 1]
    for gate in gates:
        gate.set()
    third.join(30)
    writer.close()
    assert seen == [0, 1, 2]
    assert writer.pending == []


def test_the_model_is_there_when_the_connection_is_closed(method: StoreTransfer) -> None:
    gate = Gate(method)
    stored = leave(method, 1, 3)
    assert stored.pending
    assert (stored.num_bytes, stored.quality, stored.failures) == (4 * (4 * 3 + 3), 0.5, {})
    with open_store(method.uri) as store:
        assert 1 not in store
        gate.open_soon()
        disconnect()
        assert 1 in store


def test_what_is_stored_is_what_was_there_at_the_time(method: StoreTransfer) -> None:
    gate = Gate(method)
    model, graph = candidate(3)
    names = list(layers_with_weights(model, graph))
    before = read_weights(layers_with_weights(model, graph))
    method.store(model, graph, names, model_id=1, quality=0.5)
    model.layers[1].set_weights([np.zeros((4, 3)), np.ones(3)])
    gate.event.set()
    disconnect()
    with open_store(method.uri) as store:
        np.testing.assert_array_equal(store.read(1)[names[0]][0], before[names[0]][0])


def test_a_failure_is_reported_once_and_later(
    method: StoreTransfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(method.uri)
    put = store.put

    def fail(model_id: int, *args: Any, **kwargs: Any) -> Any:
        if model_id == 1:
            raise StoreFullError("no space left for 1")
        return put(model_id, *args, **kwargs)

    monkeypatch.setattr(store, "put", fail)
    assert leave(method, 1, 3).failures == {}
    pending_writer_of(method.uri).wait_for(1)
    assert leave(method, 2, 3).failures == {1: "StoreFullError: no space left for 1"}
    assert leave(method, 3, 3).failures == {}
    pending_writer_of(method.uri).wait_for(3)
    assert 2 in store
    assert 3 in store


def test_the_better_donor_is_waited_for(method: StoreTransfer) -> None:
    leave(method, 1, 5, 4)
    pending_writer_of(method.uri).wait_for(1)
    gate = Gate(method)
    leave(method, 2, 5, 6)
    gate.open_soon()
    model, graph = candidate(5, 6, 2)
    assert method.transfer(model, graph, model_id=3).donor == 2


def test_a_worse_donor_is_not_waited_for(method: StoreTransfer) -> None:
    leave(method, 1, 5, 4)
    pending_writer_of(method.uri).wait_for(1)
    gate = Gate(method)
    leave(method, 2, 5, 6)
    model, graph = candidate(5, 4, 2)
    assert method.transfer(model, graph, model_id=3).donor == 1
    gate.event.set()


def test_an_attempt_that_is_on_its_way_is_recalled(method: StoreTransfer) -> None:
    gate = Gate(method)
    leave(method, 1, 3)
    gate.open_soon()
    assert method.recall(candidate(3)[1], model_id=1) == 0.5


def test_a_second_attempt_is_no_failure(method: StoreTransfer) -> None:
    leave(method, 1, 3)
    leave(method, 1, 3)
    pending_writer_of(method.uri).wait_for(1)
    assert leave(method, 2, 3).failures == {}
    with pytest.raises(ModelExistsError):
        method.recall(candidate(4)[1], model_id=1)


@pytest.mark.parametrize("goes", [False, True])
def test_a_donor_may_go_meanwhile(method: StoreTransfer, goes: bool) -> None:
    leave(method, 1, 8, 5)
    pending_writer_of(method.uri).wait_for(1)
    child, graph = candidate(8, 4)
    got = method.transfer(child, graph, model_id=2)
    whole = read_weights(layers_with_weights(child, graph))
    trained = [name for name in whole if name not in got.layer_names]
    gate = Gate(method)
    method.store(child, graph, trained, model_id=2, quality=0.5, transferred=got)
    del got
    store = connect(method.uri)
    if goes:
        store.retire(1)
    gate.event.set()
    pending_writer_of(method.uri).wait_for(2)
    owners = store.composition(2)
    assert all(owners[name] == (2 if goes or name in trained else 1) for name in whole)
    for name, arrays in whole.items():
        for mine, theirs in zip(arrays, store.read(2)[name], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert store.verify().ok
