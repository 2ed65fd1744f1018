"""What every store must do, whatever is under its URI."""

import gc
import json

import ml_dtypes
import numpy as np
import pytest

from parsl_tl import open_store
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.errors import (
    DonorGoneError,
    InvalidValueError,
    ModelExistsError,
    ModelNotFoundError,
    StoreClosedError,
    StorePermissionError,
)


def put(store, tools, model_id, arch, value=0.5, **kwargs):
    """Puts a model that owns all of its layers; returns its weights."""
    graph = tools.graph(*arch)
    weights = tools.weights(graph, value)
    store.put(model_id, graph, weights, quality=kwargs.pop("quality", value), **kwargs)
    return weights


def put_child(store, tools, model_id, arch, donor, value=0.7):
    """Puts a model that inherits the common prefix; returns all of its weights."""
    graph = tools.graph(*arch)
    prefix = longest_common_prefix(graph, store.graph(donor))
    own = tools.weights(graph, value)
    inherited = {name: own.pop(name) for name in prefix if name in own}
    result = store.put(model_id, graph, own, quality=value, parent=donor, donor=donor)
    assert result.layers_inherited == len(inherited)
    return {**store.read(donor, list(inherited)), **own}


@pytest.mark.parametrize(
    "dtype", ["f4", "f8", "f2", "i1", "?", "<u8", ">f4", "c8", ml_dtypes.bfloat16]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (5, 7)])
def test_weights_come_back_byte_for_byte(store, tools, dtype, shape):
    graph = tools.graph(1)
    name = graph.layer_names[1]
    array = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)
    store.put(1, graph, {name: [array]}, quality=0)
    (read,) = store.read(1)[name]
    assert read.shape == shape
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read.astype("c16"), array.astype("c16"))


def test_non_contiguous_weights_are_stored_as_they_look(store, tools):
    graph = tools.graph(1)
    array = np.arange(24, dtype="f4").reshape(4, 6).T[::2]
    store.put(1, graph, {graph.layer_names[1]: [array]}, quality=0)
    np.testing.assert_array_equal(store.read(1)[graph.layer_names[1]][0], array)


def test_views_are_read_only_aligned_and_outlive_everything(store, tools):
    weights = put(store, tools, 1, (1, 2))
    read = store.read(1)
    for arrays in read.values():
        for array in arrays:
            assert not array.flags.writeable
            assert array.ctypes.data % 64 == 0
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    store.retire(1)
    store.close()
    gc.collect()
    assert tools.same(read, weights)


def test_reading_into_arrays(store, tools):
    weights = put(store, tools, 1, (1, 2))
    out = {name: [np.empty_like(a) for a in arrays] for name, arrays in weights.items()}
    read = store.read(1, out=out)
    assert tools.same(out, weights)
    assert all(read[name][0] is out[name][0] for name in out)
    name = next(iter(out))
    with pytest.raises(InvalidValueError, match=name):
        store.read(1, [name], out={name: [np.empty((1, 1), "f4")]})


def test_children_share_what_they_did_not_train(store, tools):
    put(store, tools, 1, (1, 2, 3))
    expected = put_child(store, tools, 2, (1, 2, 1), donor=1)
    assert tools.same(store.read(2), expected)
    owners = store.composition(2)
    assert list(owners.values()).count(1) == 2
    assert store.info(2)["bytes_owned"] < store.info(2)["bytes_total"]
    grandchild = put_child(store, tools, 3, (1, 2, 1, 3), donor=2)
    assert set(store.composition(3).values()) == {1, 2, 3}
    assert tools.same(store.read(3), grandchild)


def test_retiring_frees_what_nobody_refers_to_and_nothing_else(store, tools):
    put(store, tools, 1, (1, 2, 3))
    total = store.info(1)["bytes_total"]
    expected = put_child(store, tools, 2, (1, 2, 1), donor=1)
    shared = [name for name, owner in store.composition(2).items() if owner == 1]
    assert [store.reference_count(1, name) for name in shared] == [2, 2]
    freed = store.retire(1)
    kept = sum(a.nbytes for name in shared for a in store.read(2)[name])
    assert freed == total - kept
    assert [store.reference_count(1, name) for name in shared] == [1, 1]
    assert tools.same(store.read(2), expected)
    assert 1 not in store
    store.retire(2)
    assert [store.reference_count(1, name) for name in shared] == [0, 0]
    assert store.stats()["bytes_live"] == store.stats()["segments"] == len(store) == 0


def test_lineage_outlives_retirement(store, tools):
    put(store, tools, 1, (1,))
    put(store, tools, 2, (1, 1), parent=1)
    put(store, tools, 3, (1, 2), parent=2)
    put(store, tools, 4, (1, 3), parent=1)
    store.retire(2)
    assert store.lineage(3) == [2, 1]
    assert store.descendants(1) == [2, 4, 3]


def test_ids_are_never_used_again(store, tools):
    put(store, tools, 1, (1,))
    with pytest.raises(ModelExistsError, match="0000000000000001"):
        put(store, tools, 1, (2,))
    store.retire(1)
    with pytest.raises(ModelExistsError):
        put(store, tools, 1, (2,))
    with pytest.raises(ModelNotFoundError, match="retired"):
        store.retire(1)


@pytest.mark.parametrize("quality", [float("nan"), float("inf"), -float("inf")])
def test_a_quality_that_is_no_number_is_refused(store, tools, quality):
    with pytest.raises(InvalidValueError, match="quality"):
        put(store, tools, 1, (1,), quality=quality)
    assert len(store) == 0


def test_a_negative_quality_is_as_good_as_any(store, tools):
    put(store, tools, 1, (1,), quality=-5.0)
    put(store, tools, 2, (1,), quality=-3.0)
    assert store.find_donor(tools.graph(1, 2)).model_id == 2


@pytest.mark.parametrize("model_id", [-1, 2**64, 1.5, "1", None])
def test_what_is_no_id_is_refused(store, tools, model_id):
    with pytest.raises(InvalidValueError, match="id"):
        put(store, tools, model_id, (1,))


def test_ids_use_all_64_bits(store, tools):
    put(store, tools, 2**64 - 1, (1,))
    assert store.find_donor(tools.graph(1)).model_id == 2**64 - 1
    assert store.models()["model_id"].to_pylist() == [2**64 - 1]


def test_bad_arguments_change_nothing(store, tools):
    graph = tools.graph(1)
    with pytest.raises(InvalidValueError, match="Nope"):
        store.put(1, graph, {"Nope": [np.zeros(1)]}, quality=0)
    with pytest.raises(InvalidValueError, match="dtype"):
        store.put(1, graph, {graph.layer_names[1]: [np.array(["x"], object)]}, quality=0)
    with pytest.raises(InvalidValueError, match="JSON"):
        store.put(1, graph, {}, quality=0, attributes={"x": object()})
    with pytest.raises(InvalidValueError, match="own donor"):
        store.put(1, graph, {}, quality=0, donor=1)
    with pytest.raises(DonorGoneError, match="0000000000000009"):
        store.put(1, graph, {}, quality=0, donor=9)
    with pytest.raises(InvalidValueError, match="by="):
        store.find_donor(graph, by="luck")
    put(store, tools, 1, (1,))
    with pytest.raises(InvalidValueError, match="no layer"):
        store.read(1, ["Dense_nope"])
    with pytest.raises(ModelNotFoundError, match="0000000000000002"):
        store.read(2)
    assert store.verify().ok


def test_the_table_of_models(store, tools):
    put(store, tools, 1, (1,), attributes={"note": "first"})
    put(store, tools, 2, (2,), parent=1)
    table = store.models()
    assert table["model_id"].to_pylist() == [1, 2]
    assert table["parent"].to_pylist() == [None, 1]
    assert table["num_layers"].to_pylist() == [3, 3]
    assert store.info(1)["attributes"] == {"note": "first"}
    assert store.graph(1) == tools.graph(1)


def test_a_donor_cannot_vanish_between_match_and_read(uri, tools):
    with open_store(uri) as mine, open_store(uri) as other:
        weights = put(mine, tools, 1, (1, 2))
        match = mine.find_donor(tools.graph(1, 2, 3))
        other.retire(1)
        assert tools.same(mine.read(match.model_id), weights)
        common = {name: weights.get(name, []) for name in match.layer_names}
        assert tools.same(match.read(), common)
        assert match.shapes() == {
            name: [(array.shape, array.dtype.name) for array in arrays]
            for name, arrays in common.items()
        }
        (last,) = weights.keys() - common.keys()
        out = {last: [np.zeros_like(array) for array in weights[last]]}
        assert match.read([last], out=out)[last][0] is out[last][0]
        assert tools.same(out, {last: weights[last]})
        with pytest.raises(InvalidValueError, match="has no layer 'nothing'"):
            match.shapes(["nothing"])
        with pytest.raises(DonorGoneError):
            mine.put(2, tools.graph(1, 2, 3), {}, quality=0, donor=match.model_id)
        assert mine.find_donor(tools.graph(1, 2, 3)) is None
        del match
        gc.collect()
        with pytest.raises(ModelNotFoundError):
            mine.read(1)


def test_a_closed_store_says_so(store, tools):
    store.close()
    with pytest.raises(StoreClosedError, match="closed"):
        store.models()
    with pytest.raises(StoreClosedError):
        put(store, tools, 1, (1,))


def test_read_only_reads_and_changes_nothing(uri, tools):
    with open_store(uri) as writer, open_store(uri, read_only=True) as reader:
        weights = put(writer, tools, 1, (1,))
        assert tools.same(reader.read(1), weights)
        for change in (lambda: put(reader, tools, 2, (1,)), lambda: reader.retire(1)):
            with pytest.raises(StorePermissionError, match="read_only"):
                change()


def test_everything_is_there_after_opening_again(uri, tools):
    options = {"durability": "disk"} if uri.startswith("embedded:") else {}
    with open_store(uri, **options) as store:
        weights = put(store, tools, 1, (1, 2))
        child = put_child(store, tools, 2, (1, 3), donor=1)
        put(store, tools, 3, (2,))
        store.retire(3)
        table, stats = store.models(), store.stats()
    with open_store(uri) as store:
        assert store.models().equals(table)
        # What memory the index takes in this process depends on what happened in it.
        history = {"bytes_index_private"}
        assert {k: v for k, v in store.stats().items() if k not in history} == {
            k: v for k, v in stats.items() if k not in history
        }
        assert tools.same(store.read(1), weights)
        assert tools.same(store.read(2), child)
        assert store.verify().ok


def put_with_parent(store, tools, model_id, parent, **options):
    """A child of (1, 2, 3) that brings only what its parent does not have."""
    graph = tools.graph(1, 2, 1)
    parents = tools.weights(tools.graph(1, 2, 3))
    own = {n: w for n, w in tools.weights(graph, 0.7).items() if n not in parents}
    return graph, store.put(model_id, graph, own, quality=0.7, parent=parent, **options)


def test_a_living_parent_is_shared_with_by_itself(store, tools):
    weights = put(store, tools, 1, (1, 2, 3))
    graph, result = put_with_parent(store, tools, 2, parent=1)
    assert result.layers_inherited == 2
    assert result.shared_with == 1
    read = store.read(2)
    assert set(read) == set(tools.weights(graph))
    assert all(tools.same({n: read[n]}, {n: weights[n]}) for n in read if n in weights)
    other = put(store, tools, 4, (1, 1), parent=1)
    assert tools.same(store.read(4), other)


@pytest.mark.parametrize("was_stored", [True, False])
def test_a_parent_that_is_gone_is_told(store, tools, was_stored):
    if was_stored:
        put(store, tools, 1, (1, 2, 3))
        store.retire(1)
    for model_id in (2, 3):  # on the parent's server and on another
        with pytest.raises(DonorGoneError, match=r"parent .* store all of its weights"):
            put_with_parent(store, tools, model_id, parent=1)
        with pytest.raises(DonorGoneError):
            store.put(model_id, tools.graph(1, 2, 3), {}, quality=0, parent=1)
        assert model_id not in store
        graph = tools.graph(1, 2, 1)
        whole = tools.weights(graph, 0.7)
        result = store.put(model_id, graph, whole, quality=0.7, parent=1)
        assert result.layers_inherited == 0
        assert result.shared_with is None
        assert tools.same(store.read(model_id), whole)
        assert store.info(model_id)["parent"] == 1
    assert store.verify().ok


def test_a_parent_that_another_client_retired_is_told(uri, tools):
    with open_store(uri) as store, open_store(uri) as other:
        put(store, tools, 1, (1, 2, 3))
        store.read(1)  # so that the client knows its composition
        other.retire(1)
        for model_id in (2, 3):
            with pytest.raises(DonorGoneError):
                put_with_parent(store, tools, model_id, parent=1)
        assert len(other) == 0
        assert other.verify().ok


def test_weights_that_nobody_owns_are_missed(store, tools):
    put(store, tools, 1, (1, 2, 3))
    graph = tools.graph(1, 2, 1)
    lacking = tools.weights(graph, 0.7)
    name, _ = lacking.popitem()
    for model_id, options in ((3, {"donor": 1}), (4, {"parent": 1})):
        with pytest.raises(InvalidValueError, match=f"lacks the weights of layer {name}"):
            store.put(model_id, graph, lacking, quality=0, **options)
    assert len(store) == 1
    # Who names neither parent nor donor gets a list of what is not there.
    assert store.put(2, graph, lacking, quality=0).layers_lacking == [name]
    assert store.put(5, graph, {}, quality=0).layers_lacking == list(tools.weights(graph))
    # Of a line of architectures, no model has weights.
    result = store.put(6, graph, {}, quality=0, parent=5)
    assert result.layers_inherited == 0
    assert store.verify().ok


def test_layers_of_unknown_classes_are_judged_by_their_like(store):
    """Whether a class outside Keras has weights, models tell that have the layer."""
    from parsl_tl.architecture import ArchitectureGraph

    def graph(units):
        layers = [
            {"class_name": "InputLayer", "name": "in", "inbound_nodes": [],
             "config": {"batch_shape": [None, 3], "dtype": "float32", "name": "in"}},
            layer_of("Odd", "odd", "in", {"size": 3}, registered_name="mine>Odd", module=None),
            layer_of("Dense", "dense", "odd", {"units": units}),
        ]  # fmt: skip
        config = {"layers": layers, "input_layers": [["in", 0, 0]],
                  "output_layers": [["dense", 0, 0]], "name": "m"}  # fmt: skip
        return ArchitectureGraph.from_json(
            json.dumps({"class_name": "Functional", "config": config, "module": "keras"})
        )

    first, second = graph(2), graph(4)
    odd = first.layer_names[1]
    dense = [np.zeros((3, 2), "f4"), np.zeros(2, "f4")]
    store.put(1, first, {first.layer_names[2]: dense}, quality=0)  # as far as is known, all
    store.put(3, first, {odd: [np.ones(3, "f4")], first.layer_names[2]: dense}, quality=0)
    wide = [np.zeros((3, 4), "f4"), np.zeros(4, "f4")]
    with pytest.raises(InvalidValueError, match=f"layer {odd}"):
        store.put(5, second, {second.layer_names[2]: wide}, quality=0, donor=1)
    assert store.put(7, second, {second.layer_names[2]: wide}, quality=0, donor=3).shared_with == 3


def layer_of(class_name, name, source, config, **registered):
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {**config, "name": name, "trainable": True},
        "name": name,
        "registered_name": None,
        "inbound_nodes": [
            {"args": [{"class_name": "__keras_tensor__", "config": {
                "shape": [None, 3], "dtype": "float32", "keras_history": [source, 0, 0]}}],
             "kwargs": {}}
        ],
        **registered,
    }  # fmt: skip
