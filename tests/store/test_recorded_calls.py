"""Calls of a store are recorded, and what its servers did for them, over every transport."""

import pytest
from store_servers import SCHEMES, ServerProcess, running, uri_of

from parsl_tl import open_store
from parsl_tl.errors import DonorGoneError, ModelNotFoundError, StorePermissionError
from parsl_tl.events.record import read_record
from parsl_tl.events.recorder import Recorder
from parsl_tl.events.spans import recorded_by
from parsl_tl.native import native
from parsl_tl.store.serving import ServerSettings, StoreServer

pytestmark = pytest.mark.slow


def use(store, tools):
    """Puts two models, finds, reads and retires one, and asks in vain."""
    first, second = tools.graph(1, 2), tools.graph(1, 3)
    weights = tools.weights(first, 1.0)
    store.put(1, first, weights, quality=0.5)
    match = store.find_donor(second)
    match.read()
    shared = set(match.layer_names)
    own = {name: w for name, w in tools.weights(second, 2.0).items() if name not in shared}
    store.put(2, second, own, quality=0.6, donor=1)
    assert 2 in store
    store.read(2)
    store.retire(1)
    with pytest.raises(ModelNotFoundError):
        store.retire(1)
    with pytest.raises(DonorGoneError):
        store.put(3, second, {}, quality=0.1, donor=1)
    return sum(array.nbytes for arrays in weights.values() for array in arrays)


CALLS = [
    ("store.put", None),
    ("store.find_donor", None),
    ("store.read", None),
    ("store.put", None),
    ("store.contains", None),
    ("store.read", None),
    ("store.retire", None),
    ("store.retire", "ModelNotFoundError"),
    ("store.put", "DonorGoneError"),
]


def check_calls(record, num_bytes):
    calls = [one for one in record.spans.values() if one.name.startswith("store.")]
    calls.sort(key=lambda one: one.start)
    kinds = [(one.name, one.error and one.error.partition(":")[0]) for one in calls]
    assert kinds == CALLS
    put, find, read, *_, again, _, _ = calls
    assert put.attributes == {"model_id": f"{1:016x}", "bytes": num_bytes}
    assert find.attributes["donor"] == f"{1:016x}"
    assert 0 < read.attributes["bytes"] <= num_bytes
    assert again.attributes["model_id"] == f"{1:016x}"
    return calls


def test_calls_of_a_folder_are_recorded(tmp_path, tools):
    (tmp_path / "events").mkdir()
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        with recorded_by(Recorder(tmp_path / "events", "driver")):
            num_bytes = use(store, tools)
        assert 2 in store  # which nobody records
    check_calls(read_record([tmp_path / "events"]), num_bytes)


@pytest.mark.parametrize("kind", list(SCHEMES))
def test_servers_say_what_they_did_within_each_call(tmp_path, tools, kind):
    events = tmp_path / "events"
    with (
        running(tmp_path, kind, 2, "--trace", events) as servers,
        open_store(uri_of(servers)) as store,
    ):
        assert 1 not in store  # which nobody records
        with recorded_by(Recorder(events, "driver")):
            num_bytes = use(store, tools)
        assert 2 in store
    record = read_record([events])
    calls = {one.key: one for one in check_calls(record, num_bytes)}
    served = [one for one in record.spans.values() if one.process.role == "server"]
    assert len(served) + len(calls) == len(record.spans)
    asked = {}
    for one in served:
        call = calls[one.parent]
        assert call.start <= one.start <= one.end <= call.end
        asked.setdefault(one.parent, []).append(one)
    # Weights of a match that is mapped are read without asking anybody.
    assert {calls[key].name for key in calls.keys() - asked.keys()} <= {"store.read"}
    for key in asked:
        call = calls[key]
        names = [one.name for one in asked[key]]
        if call.name == "store.find_donor":  # threads of the client ask for the thread that called
            assert names.count("best_ancestors") == 2
        if call.name == "store.put" and call.error is None:
            (put,) = [one for one in asked[key] if one.name == "put"]
            assert put.attributes["bytes"] == call.attributes["bytes"]
        if call.error is not None:
            assert any(one.error for one in asked[key])


def test_a_server_that_is_not_asked_to_records_nothing(tmp_path, tools):
    events = tmp_path / "events"
    events.mkdir()
    with (
        running(tmp_path, "flight", 1) as servers,
        open_store(uri_of(servers)) as store,
        recorded_by(Recorder(events, "driver")),
    ):
        use(store, tools)
    assert [path.name.partition("-")[0] for path in events.iterdir()] == ["driver"]


def test_a_server_that_is_killed_leaves_whole_lines(tmp_path, tools):
    events = tmp_path / "events"
    server = ServerProcess(tmp_path / "server", "grpc+tcp://127.0.0.1:0", "--trace", events)
    try:
        with recorded_by(Recorder(events, "driver")), open_store(server.uri) as store:
            num_bytes = use(store, tools)
            server.kill()
    finally:
        server.end()
    record = read_record([events])
    assert record.torn == 0
    check_calls(record, num_bytes)
    assert {"put", "best_ancestors", "retire"} <= {one.name for one in record.spans.values()}


def test_a_disk_that_is_full_ends_the_record_and_not_the_server(tmp_path, monkeypatch):
    settings = ServerSettings(
        address=f"grpc+unix://{tmp_path}/s.sock", folder=tmp_path / "store", trace=tmp_path / "ev"
    )
    monkeypatch.setattr(
        "parsl_tl.store.serving.open_span_log",
        lambda folder, store: native.SpanLog("/dev/full", "{}"),
    )
    with StoreServer(settings) as server, open_store(str(server.connection)) as store:
        before = native.exchange_trace(b"\1" * 24)
        assert 1 not in store
        assert native.exchange_trace(before) == b"\1" * 24
        (warning,) = server.take_warnings()
        assert "/dev/full cannot be written: No space left" in warning
        assert 1 not in store
        assert server.take_warnings() == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    settings = ServerSettings(
        address="grpc+tcp://127.0.0.1:0", folder=tmp_path / "store", trace=tmp_path / "file" / "x"
    )
    with pytest.raises(StorePermissionError, match="cannot be recorded"):
        StoreServer(settings)
