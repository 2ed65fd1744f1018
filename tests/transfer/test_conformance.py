"""What every transfer method does alike, on real files, servers and stores."""

import json
import threading

import keras
import numpy as np
import pytest
from small_models import candidate
from transfer_checks import KINDS, keep, weights_of

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import (
    InvalidValueError,
    ModelExistsError,
    ModelNotFoundError,
)
from parsl_tl.transfer import (
    TransferMethod,
    Transferred,
)
from parsl_tl.transfer.weights import layers_with_weights


def test_it_is_a_transfer_method(method):
    assert isinstance(method, TransferMethod)
    assert method.name in repr(method).lower()


def test_nothing_stored_gives_nothing(method):
    model, graph = candidate(3, 2)
    before = weights_of(model, graph)
    assert method.transfer(model, graph, model_id=1) == Transferred()
    assert weights_of(model, graph) == before
    method.close()


def test_the_common_prefix_comes_over_byte_for_byte(method):
    donor, donor_graph = candidate(8, 6, 5)
    assert keep(method, donor, donor_graph, 1).layer_names == tuple(
        layers_with_weights(donor, donor_graph)
    )
    child, graph = candidate(8, 6, 4)
    before = weights_of(child, graph)
    got = method.transfer(child, graph, model_id=2)
    after, theirs = weights_of(child, graph), weights_of(donor, donor_graph)
    first, second, third = after
    assert got.donor == 1
    assert got.layer_names == (first, second)
    assert got.num_bytes == 4 * (4 * 8 + 8 + 8 * 6 + 6)
    assert got.layers_matched == 3  # with the input
    assert [after[first], after[second]] == [theirs[first], theirs[second]]
    assert after[third] == before[third]


def test_moving_statistics_come_over(method):
    donor, graph = candidate(3, normalize=True)
    for layer in donor.layers:
        layer.trainable = False  # frozen layers are stored in the same order
    keep(method, donor, graph, 1)
    child, _ = candidate(3, normalize=True)
    method.transfer(child, graph, model_id=2)
    assert weights_of(child, graph) == weights_of(donor, graph)


def test_twins_keep_their_order(method):
    inputs = keras.Input((3,))
    left, right = (keras.layers.Dense(2)(inputs) for _ in range(2))
    graph = ArchitectureGraph.from_keras(keras.Model(inputs, keras.layers.Add()([left, right])))
    donor, child = graph.to_keras(), graph.to_keras()
    keep(method, donor, graph, 1)
    assert len(method.transfer(child, graph, model_id=2).layer_names) == 2
    assert weights_of(child, graph) == weights_of(donor, graph)


def twin_branches(swapped, listing):
    """Two equal layers with different followers, which may be exchanged; listed in some order."""
    inputs = keras.Input((8,))
    twins = [keras.layers.Dense(6, activation="tanh")(inputs) for _ in range(2)]
    left, right = twins[::-1] if swapped else twins
    branches = [keras.layers.Dense(4)(left), keras.layers.Dense(5)(right)]
    both = keras.layers.Concatenate()(branches)
    last = keras.layers.Add()([keras.layers.Dense(3)(both), keras.layers.Dense(3)(both)])
    document = json.loads(keras.Model(inputs, last).to_json())
    document["config"]["layers"] = [document["config"]["layers"][i] for i in listing]
    return ArchitectureGraph.from_json(json.dumps(document))


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_an_equal_model_predicts_the_same_however_its_twins_are_listed(method, swapped, seed):
    listing = np.random.default_rng(seed).permutation(9)
    graph, other = twin_branches(False, range(9)), twin_branches(swapped, listing)
    assert other == graph
    donor, child = graph.to_keras(), other.to_keras()
    for weight in donor.weights:
        weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    keep(method, donor, graph, 1)
    assert len(method.transfer(child, other, model_id=2).layer_names) == 6
    inputs = np.random.default_rng(seed).normal(size=(4, 8)).astype("f4")
    np.testing.assert_allclose(donor(inputs), child(inputs), rtol=1e-5, atol=1e-5)


def test_never_from_itself(method):
    model, graph = candidate(3)
    keep(method, model, graph, 1)
    assert method.transfer(model, graph, model_id=1).donor is None
    assert method.transfer(model, graph, model_id=2).donor == 1


def test_longer_then_better_then_later(method):
    for model_id, units, quality in (
        (1, (3, 2), 0.9),
        (2, (3, 5, 2), 0.1),
        (3, (3, 5, 4), 0.4),
        (4, (3, 5, 6), 0.4),
        (5, (7,), 1.0),
    ):
        keep(method, *candidate(*units), model_id, quality)
    assert method.transfer(*candidate(3, 5, 8), model_id=9).donor == 4
    method.retire(4)
    assert method.transfer(*candidate(3, 5, 8), model_id=9).donor == 3
    assert method.transfer(*candidate(3, 9), model_id=9).donor == 1


def test_minimum_quality(make, kind):
    model, graph = candidate(3)
    keep(make(kind), model, graph, 1, quality=-3.0)
    assert make(kind, min_quality=-2.0).transfer(model, graph, model_id=2).donor is None
    assert make(kind, min_quality=-4.0).transfer(model, graph, model_id=2).donor == 1


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_parent_as_a_hint(make, kind):
    for model_id, units in ((1, (3, 5, 2)), (2, (3, 4))):
        keep(make(kind), *candidate(*units), model_id)
    method = make(kind, donor="parent")
    assert method.transfer(*candidate(3, 5, 8), model_id=9, parent=2).donor == 2
    assert method.transfer(*candidate(3, 5, 8), model_id=9).donor is None
    assert method.transfer(*candidate(3, 5, 8), model_id=9, parent=7).donor is None
    with pytest.raises(InvalidValueError, match="'search' or 'parent'"):
        make(kind, donor="anyone")


@keras.saving.register_keras_serializable(package="conformance")
class Changing(keras.layers.Layer):
    """A layer whose code is changed between two models: equal configurations, other weights."""

    width = 3

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1], self.width), name="scale")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.scale)[:, :1]


def test_a_layer_whose_shape_differs_is_refused(method, monkeypatch, caplog):
    inputs = keras.Input((4,))
    tensor = Changing()(inputs)
    graph = ArchitectureGraph.from_keras(keras.Model(inputs, keras.layers.Dense(2)(tensor)))
    donor = graph.to_keras()
    keep(method, donor, graph, 1)
    monkeypatch.setattr(Changing, "width", 5)
    child = graph.to_keras()
    first, second = layers_with_weights(child, graph)
    before = weights_of(child, graph)[first]
    got = method.transfer(child, graph, model_id=2)
    assert got.layer_names == (second,)
    assert "not transferred" in caplog.text
    after = weights_of(child, graph)
    assert after[first] == before
    assert after[second] == weights_of(donor, graph)[second]


def test_a_model_with_names_of_its_own(method):
    inputs = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(3, activation="relu", name="hidden")(inputs)
    own = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden))
    keep(method, own, ArchitectureGraph.from_keras(own), 1)
    child, graph = candidate(3, 2)
    assert method.transfer(child, graph, model_id=2).donor == 1
    assert child.layers[1].get_weights()[0].tolist() == own.layers[1].get_weights()[0].tolist()
    assert len(method.transfer(own, ArchitectureGraph.from_keras(own), model_id=3).layer_names) == 2


def test_a_donor_that_is_retired_meanwhile(method):
    donor, donor_graph = candidate(8, 5)
    keep(method, donor, donor_graph, 1)
    child, graph = candidate(8, 4)
    got = method.transfer(child, graph, model_id=2)
    method.retire(1)
    trained = [name for name in layers_with_weights(child, graph) if name not in got.layer_names]
    method.store(child, graph, trained, model_id=2, quality=0.7, transferred=got, parent=1)
    again, _ = candidate(8, 4)
    assert method.transfer(again, graph, model_id=3).donor == 2
    assert weights_of(again, graph) == weights_of(child, graph)


def test_retiring_is_real(method):
    model, graph = candidate(3)
    keep(method, model, graph, 1)
    assert method.retire(1) == 4 * (4 * 3 + 3)
    with pytest.raises(ModelNotFoundError):
        method.retire(1)
    assert method.transfer(model, graph, model_id=2) == Transferred()


def test_closing_is_not_the_end(method):
    model, graph = candidate(3)
    keep(method, model, graph, 1)
    method.close()
    assert method.transfer(model, graph, model_id=2).donor == 1
    method.close()
    method.close()


def test_recall(method):
    model, graph = candidate(3)
    assert method.recall(graph, model_id=1) is None
    assert method.recall(graph, model_id=None) is None
    keep(method, model, graph, 1, quality=0.25)
    assert method.recall(graph, model_id=1) == 0.25
    again = keep(method, model, graph, 1, quality=0.75)
    assert (again.quality, again.num_bytes) == (0.25, 0)
    _, other = candidate(4)
    with pytest.raises(ModelExistsError, match="another architecture"):
        method.recall(other, model_id=1)


def test_what_can_never_be_stored(method):
    model, graph = candidate(3)
    with pytest.raises(InvalidValueError, match="model_id"):
        keep(method, model, graph, None)
    with pytest.raises(InvalidValueError):
        keep(method, model, graph, 1, quality=float("nan"))
    assert method.transfer(model, graph, model_id=2) == Transferred()


def test_many_writers_of_one_id_leave_one_model(make, kind):
    model, graph = candidate(3)
    found, errors = [], []

    def attempt(number):
        try:
            found.append(keep(make(kind), model, graph, 1, quality=number / 10))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert {stored.quality for stored in found} == {make(kind).recall(graph, model_id=1)}
    assert sum(stored.num_bytes > 0 for stored in found) == 1
