"""Graphs of real Keras models: hashes that do not depend on names, and models that come back."""

import numpy as np
import pytest

from parsl_tl.architecture import ArchitectureGraph, longest_common_prefix
from parsl_tl.errors import ArchitectureError

keras = pytest.importorskip("keras")
layers = keras.layers


def functional():
    x = inputs = keras.Input((8,))
    a = layers.Dense(4, activation="relu")(x)
    b = layers.Dense(4)(x)
    x = layers.Add()([a, b])
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Concatenate()([x, a])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def sequential():
    return keras.Sequential([keras.Input((8,)), layers.Dense(5), layers.Dense(2)])


def convolutional():
    x = inputs = keras.Input((16, 2))
    x = layers.Conv1D(4, 3, activation="relu")(x)
    x = layers.MaxPool1D(2)(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def two_inputs():
    a, b = keras.Input((8,)), keras.Input((8,))
    return keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, layers.Dense(8)(b)])))


def unused_input():
    a, b = keras.Input((8,)), keras.Input((8,))
    return keras.Model([a, b], layers.Dense(2)(layers.Dense(8)(b)))


def siamese():
    a, b = keras.Input((8,)), keras.Input((8,))
    shared = layers.Dense(4)
    return keras.Model([a, b], layers.Subtract()([shared(a), shared(b)]))


def recurrent_by_hand():
    x = inputs = keras.Input((8,))
    shared = layers.Dense(8)
    for _ in range(3):
        x = layers.Activation("tanh")(shared(x))
    return keras.Model(inputs, layers.Dense(1)(x))


def nested():
    inputs = keras.Input((8,))
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(3), layers.Dense(3)])
    return keras.Model(inputs, layers.Dense(1)(inner(inputs)))


def bidirectional():
    inputs = keras.Input((5, 3))
    return keras.Model(inputs, layers.Bidirectional(layers.LSTM(4))(inputs))


def attention():
    inputs = keras.Input((5, 4))
    return keras.Model(inputs, layers.MultiHeadAttention(2, 3)(inputs, value=inputs))


def twins():
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Add()([layers.Dense(4)(inputs), layers.Dense(4)(inputs)]))


MODELS = [
    functional,
    sequential,
    convolutional,
    two_inputs,
    unused_input,
    siamese,
    recurrent_by_hand,
    nested,
    bidirectional,
    attention,
    twins,
]


@pytest.mark.parametrize("make", MODELS)
def test_a_model_comes_back_with_equal_hashes_and_predictions(make):
    model = make()
    graph = ArchitectureGraph.from_keras(model)
    again = graph.to_keras()
    assert sorted(layer.name for layer in again.layers) == sorted(graph.layer_names)
    assert len(set(graph.layer_names)) == len(graph)
    assert ArchitectureGraph.from_keras(again) == graph
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    again.set_weights(model.get_weights())
    inputs = [np.random.default_rng(0).normal(size=(2, *i.shape[1:])) for i in model.inputs]
    inputs = inputs[0] if len(inputs) == 1 else inputs
    np.testing.assert_allclose(model(inputs), again(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
def test_names_do_not_count(make):
    first = ArchitectureGraph.from_keras(make())
    second = ArchitectureGraph.from_keras(make())  # Keras numbers the names on
    assert first == second
    assert first.layer_names == second.layer_names


def test_every_model_differs_from_every_other():
    graphs = [ArchitectureGraph.from_keras(make()) for make in MODELS]
    assert len(set(graphs)) == len(MODELS)


def test_trainable_does_not_count():
    model = functional()
    before = ArchitectureGraph.from_keras(model)
    for layer in model.layers:
        layer.trainable = False
    assert ArchitectureGraph.from_keras(model) == before


def test_the_order_of_inputs_counts():
    a, b = keras.Input((8,)), keras.Input((8,))
    one = keras.Model([a, b], layers.Subtract()([a, b]))
    other = keras.Model([a, b], layers.Subtract()([b, a]))
    assert ArchitectureGraph.from_keras(one) != ArchitectureGraph.from_keras(other)


def test_a_layer_shared_by_more_calls_is_another_layer_and_so_is_all_behind_it():
    once = keras.Input((8,))
    shared = layers.Dense(8)
    plain = keras.Model(once, layers.Dense(1)(shared(once)))
    common = longest_common_prefix(
        ArchitectureGraph.from_keras(plain), ArchitectureGraph.from_keras(recurrent_by_hand())
    )
    assert [name.split("_")[0] for name in common] == ["InputLayer"]


def test_merge_layers_count_all_of_their_inputs():
    def model(width):
        inputs = keras.Input((8,))
        left, right = layers.Dense(4)(inputs), layers.Dense(width)(inputs)
        return ArchitectureGraph.from_keras(
            keras.Model(inputs, layers.Concatenate()([left, right]))
        )

    common = longest_common_prefix(model(5), model(6))
    assert [name.split("_")[0] for name in common] == ["InputLayer", "Dense"]


def test_models_without_a_graph_are_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ArchitectureError, match="Own has no graph"):
        ArchitectureGraph.from_keras(Own())
    with pytest.raises(ArchitectureError, match="not built"):
        ArchitectureGraph.from_keras(keras.Sequential([layers.Dense(2)]))
