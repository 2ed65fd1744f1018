"""Transfer methods, on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from small_models import candidate

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import (
    InvalidValueError,
    ModelNotFoundError,
    StoreError,
    TransferError,
)
from parsl_tl.store import open_store
from parsl_tl.transfer import (
    NoTransfer,
    StoreTransfer,
    TransferMethod,
    Transferred,
    get_transfer_method,
    list_transfer_methods,
)
from parsl_tl.transfer.registry import find_transfer_method
from parsl_tl.transfer.store import connect, disconnect
from parsl_tl.transfer.weights import layers_with_weights, read_weights


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    yield f"embedded:{tmp_path / 'store'}"
    disconnect()


@pytest.fixture
def method(uri: str) -> StoreTransfer:
    return StoreTransfer(uri)


def weighted(model: keras.Model, graph: ArchitectureGraph) -> list[str]:
    return list(layers_with_weights(model, graph))


def store_whole(
    method: StoreTransfer, model: keras.Model, graph: ArchitectureGraph, model_id: int
) -> None:
    method.store(model, graph, weighted(model, graph), model_id=model_id, quality=0.5)


def assert_equal_weights(
    left: dict[str, list[np.ndarray]], right: dict[str, list[np.ndarray]]
) -> None:
    assert left.keys() == right.keys()
    for name in left:
        for a, b in zip(left[name], right[name], strict=True):
            np.testing.assert_array_equal(a, b)


class TestTransfer:
    def test_minimum_quality(self, uri: str) -> None:
        model, graph = candidate(3)
        StoreTransfer(uri).store(model, graph, weighted(model, graph), model_id=1, quality=-3.0)
        assert StoreTransfer(uri, min_quality=-2.0).transfer(model, graph, model_id=2).donor is None
        assert StoreTransfer(uri, min_quality=-4.0).transfer(model, graph, model_id=2).donor == 1

    @pytest.mark.parametrize("wrong", ["shape", "dtype", "count"])
    def test_a_layer_that_does_not_fit_stays(
        self, method: StoreTransfer, uri: str, wrong: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        model, graph = candidate(3, 2)
        first, second = weighted(model, graph)
        weights = read_weights(layers_with_weights(model, graph))
        if wrong == "shape":
            weights[first][1] = np.zeros(7, np.float32)
        elif wrong == "dtype":
            weights[first][1] = weights[first][1].astype(np.float64)
        else:
            weights[first].pop()
        connect(uri).put(1, graph, weights, quality=1.0)
        child, _ = candidate(3, 2)
        before = read_weights(layers_with_weights(child, graph))[first]
        got = method.transfer(child, graph, model_id=2)
        assert got.layer_names == (second,)
        assert "not transferred" in caplog.text
        assert_equal_weights(
            {first: read_weights(layers_with_weights(child, graph))[first]}, {first: before}
        )

    def test_a_donor_lives_until_it_was_used(self, method: StoreTransfer) -> None:
        donor, donor_graph = candidate(8, 5)
        store_whole(method, donor, donor_graph, 1)
        child, graph = candidate(8, 4)
        got = method.transfer(child, graph, model_id=2)
        method.retire(1)
        trained = [name for name in weighted(child, graph) if name not in got.layer_names]
        method.store(child, graph, trained, model_id=2, quality=0.7, transferred=got)
        with open_store(method.uri) as store:
            assert_equal_weights(store.read(2), read_weights(layers_with_weights(child, graph)))
            assert store.verify().ok

    def test_a_damaged_folder(self, tmp_path: Path) -> None:
        (tmp_path / "note.txt").write_text("no store")
        model, graph = candidate(3)
        with pytest.raises(StoreError):
            StoreTransfer(f"embedded:{tmp_path / 'note.txt'}").transfer(model, graph, model_id=1)


class TestStore:
    def test_only_what_was_trained_is_written(self, method: StoreTransfer) -> None:
        donor, donor_graph = candidate(8, 5)
        store_whole(method, donor, donor_graph, 1)
        child, graph = candidate(8, 4)
        got = method.transfer(child, graph, model_id=2)
        _, head = weighted(child, graph)
        stored = method.store(
            child,
            graph,
            [head],
            model_id=2,
            quality=0.7,
            parent=1,
            transferred=got,
            attributes={"arch_seq": [8, 4]},
        )
        assert stored.layer_names == (head,)
        assert stored.num_bytes == 4 * (8 * 4 + 4)
        with open_store(method.uri) as store:
            assert store.composition(2)[head] == 2
            assert store.composition(2)[got.layer_names[0]] == 1
            assert store.lineage(2) == [1]
            assert store.info(2)["attributes"] == {"arch_seq": [8, 4]}
            assert_equal_weights(store.read(2), read_weights(layers_with_weights(child, graph)))

    def test_nothing_trained(self, method: StoreTransfer) -> None:
        donor, graph = candidate(3)
        store_whole(method, donor, graph, 1)
        child, _ = candidate(3)
        got = method.transfer(child, graph, model_id=2)
        stored = method.store(child, graph, [], model_id=2, quality=0.5, transferred=got)
        assert (stored.num_bytes, stored.layer_names) == (0, ())

    def test_retire(self, method: StoreTransfer) -> None:
        model, graph = candidate(3)
        store_whole(method, model, graph, 1)
        assert method.retire(1) == 4 * (4 * 3 + 3)
        with pytest.raises(ModelNotFoundError):
            method.retire(1)


class TestNone:
    def test_does_nothing(self) -> None:
        method = NoTransfer()
        model, graph = candidate(3)
        assert method.transfer(model, graph, model_id=1) == Transferred()
        assert method.store(model, graph, [], model_id=1, quality=0.5).num_bytes == 0
        assert method.recall(graph, model_id=1) is None
        assert method.retire(1) == 0
        method.close()


class TestRegistry:
    def test_by_name(self) -> None:
        assert list_transfer_methods() == ["hdf5", "none", "redis", "safetensors", "store"]
        assert isinstance(get_transfer_method("none"), TransferMethod)
        assert isinstance(get_transfer_method("store", uri="embedded:/nowhere"), TransferMethod)
        assert isinstance(get_transfer_method("parsl_tl.transfer:NoTransfer"), NoTransfer)

    @pytest.mark.parametrize(
        ("name", "kwargs", "match"),
        [
            ("carrier-pigeon", {}, "hdf5, none, redis, safetensors, store"),
            ("store", {}, "does not take"),
            ("none", {"uri": "x"}, "does not take"),
            ("nowhere:thing", {}, "cannot be imported"),
            ("parsl_tl.transfer:nothing", {}, "cannot be imported"),
            ("math:pi", {}, "makes nothing"),
            ("builtins:dict", {}, "no parsl_tl.transfer method"),
        ],
    )
    def test_what_cannot_be_had(self, name: str, kwargs: dict, match: str) -> None:
        with pytest.raises(TransferError, match=match):
            get_transfer_method(name, **kwargs)

    def test_they_say_what_they_need(self) -> None:
        needs = {name: find_transfer_method(name).needs for name in list_transfer_methods()}
        files = {"hdf5": "folder", "safetensors": "folder"}
        assert needs == {**files, "none": None, "redis": "url", "store": "uri"}

    def test_they_can_be_asked_before_anything_is_kept(self, tmp_path: Path) -> None:
        get_transfer_method("none").check()
        get_transfer_method("hdf5", folder=tmp_path / "models").check()
        get_transfer_method("store", uri=f"embedded:{tmp_path / 'store'}").check()
        (tmp_path / "file").touch()
        with pytest.raises(StoreError):
            get_transfer_method("store", uri=f"embedded:{tmp_path / 'file'}").check()

    def test_no_uri(self) -> None:
        with pytest.raises(InvalidValueError, match="URI"):
            StoreTransfer("")
