"""A store whose server is killed and started again, as a worker lives through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_models import candidate
from store_servers import running, uri_of

import parsl_tl.store
from parsl_tl.errors import StoreUnreachableError
from parsl_tl.store import open_store
from parsl_tl.transfer import StoreTransfer, connections
from parsl_tl.transfer.connections import connect, disconnect
from parsl_tl.transfer.weights import layers_with_weights

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow


# Far above what a call takes that waits for nobody, on a busy machine, too.
RETRY_SECONDS = 4.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits for servers less long, and leaves them alone for less long."""

    def hasty(uri: str, **options: Any) -> Any:
        return open_store(uri, **{"retry_seconds": RETRY_SECONDS, **options})

    monkeypatch.setattr(parsl_tl.store, "open_store", hasty)
    monkeypatch.setattr(connections, "_SECONDS_OF_REST", 0.5)
    yield
    disconnect()


def leave(method: StoreTransfer, model_id: int, *units: int) -> Any:
    model, graph = candidate(*units)
    names = list(layers_with_weights(model, graph))
    return method.store(model, graph, names, model_id=model_id, quality=0.5)


def seconds(call: Any) -> float:
    """How long it takes to fail: at least the retries, or hardly any time."""
    start = time.monotonic()
    with pytest.raises(StoreUnreachableError, match=r"grpc\+tcp://"):
        call()
    return time.monotonic() - start


@pytest.mark.usefixtures("impatient")
def test_one_of_two_servers_goes_and_comes_back(tmp_path: Path) -> None:
    model, graph = candidate(5, 4)
    with running(tmp_path, "flight", 2) as servers:
        method = StoreTransfer(uri_of(servers))
        leave(method, 2, 5, 3)
        leave(method, 3, 5, 4)
        got = method.transfer(model, graph, model_id=10)
        assert got.donor == 3
        servers[1].kill()  # where odd ids live, and the donor

        transfer = partial(method.transfer, model, graph, model_id=4)
        assert seconds(transfer) > RETRY_SECONDS / 2
        assert seconds(transfer) < RETRY_SECONDS / 2  # it was away a moment ago
        time.sleep(0.6)
        assert seconds(transfer) < RETRY_SECONDS / 2  # one look, without retries
        assert seconds(partial(leave, method, 5, 5, 4)) < RETRY_SECONDS / 2
        # What concerns the other server alone is stored, all of it if the donor is away.
        assert leave(method, 6, 5, 4).num_bytes > 0
        head = [name for name in layers_with_weights(model, graph) if name not in got.layer_names]
        stored = method.store(model, graph, head, model_id=10, quality=0.5, transferred=got)
        assert set(stored.layer_names) == set(layers_with_weights(model, graph))

        servers[1].start()
        deadline = time.monotonic() + 20
        while True:  # the client gives a server that was away some rest too
            try:
                again = method.transfer(model, graph, model_id=4)
                break
            except StoreUnreachableError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert again.donor in (3, 6, 10)
        leave(method, 7, 5, 4)
        assert connect(method.uri).verify().ok


@pytest.mark.usefixtures("impatient")
def test_a_worker_that_starts_while_the_store_is_away(tmp_path: Path) -> None:
    _, graph = candidate(3)
    with running(tmp_path) as servers:
        servers[0].kill()
        method = StoreTransfer(servers[0].uri)
        recall = partial(method.recall, graph, model_id=1)
        assert seconds(recall) > RETRY_SECONDS / 2
        assert seconds(recall) < RETRY_SECONDS / 2
        assert seconds(partial(leave, method, 1, 3)) < RETRY_SECONDS / 2
        servers[0].start()
        time.sleep(0.6)
        leave(method, 1, 3)
        assert method.recall(graph, model_id=1) == 0.5
