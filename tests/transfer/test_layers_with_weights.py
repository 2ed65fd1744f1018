"""Which Keras layer holds the weights of which layer of a graph."""

import keras
import pytest
from keras import layers, ops

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.keras_weights import variables_of
from parsl_tl.errors import ArchitectureError
from parsl_tl.transfer.weights import layers_with_weights


def arithmetic():
    inputs = keras.Input((4,))
    tensor = layers.Dense(3)(inputs)
    tensor = ops.relu(tensor + layers.Dense(3)(tensor)) * 2
    return keras.Model(inputs, layers.Dense(2)(tensor[:, 1:]))


def text():
    inputs = keras.Input((6,), dtype="int32")
    tensor = layers.Embedding(10, 4, mask_zero=True)(inputs)
    tensor = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(tensor)
    return keras.Model(inputs, layers.Dense(2)(layers.LSTM(3)(tensor)))


def masked_chain():
    parts = [layers.Masking(), layers.LSTM(4), layers.Dense(2)]
    return keras.Sequential([keras.Input((5, 3)), *parts])


def nested():
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, layers.Dense(3)(inputs + 1))
    chain = keras.Sequential([keras.Input((3,)), layers.Dense(5), layers.BatchNormalization()])
    outer = keras.Input((4,))
    return keras.Model(outer, layers.Dense(2)(chain(inner(outer))))


def shared():
    dense, inputs = layers.Dense(4), keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(dense(dense(inputs)) + inputs))


def mobile():
    return keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=3)


@pytest.mark.parametrize("make", [arithmetic, text, masked_chain, nested, shared, mobile])
def test_every_weight_is_in_a_layer_and_operations_are_passed_over(make):
    model = make()
    graph = ArchitectureGraph.from_keras(model)
    built = graph.to_keras()
    for each in (model, built):
        found = layers_with_weights(each, graph)
        assert list(found) == [name for name in graph.layer_names if name in found]
        inside = {id(weight) for layer in found.values() for weight in layer.weights}
        assert inside == {id(weight) for weight in each.weights}
    given = dict(zip(graph.layer_names, (layer.name for layer in graph.layers), strict=True))
    theirs, ours = layers_with_weights(model, graph), layers_with_weights(built, graph)
    for name, layer in theirs.items():
        assert layer.name == given[name]
        assert [weight.shape for weight in layer.weights] == [w.shape for w in ours[name].weights]


def chain(first=None, second=None, widths=(3, 3)):
    inputs = keras.Input((3,))
    hidden = layers.Dense(widths[0], name=first)(inputs)
    return keras.Model(inputs, layers.Dense(widths[1], name=second)(hidden))


@pytest.mark.parametrize("widths", [(3, 3), (3, 2)])
def test_layers_that_are_called_like_each_others_stable_names(widths):
    _, first, second = ArchitectureGraph.from_keras(chain(widths=widths)).layer_names
    model = chain(second, first, widths)
    graph = ArchitectureGraph.from_keras(model)
    assert graph.layer_names[1:] == [first, second]
    found = layers_with_weights(model, graph)
    assert found == {first: model.layers[1], second: model.layers[2]}
    built = graph.to_keras()
    assert layers_with_weights(built, graph) == {
        first: built.get_layer(first),
        second: built.get_layer(second),
    }


def test_a_layer_that_is_called_like_the_stable_name_of_the_next():
    _, first, second = ArchitectureGraph.from_keras(chain()).layer_names
    model = chain(second, "mine")
    found = layers_with_weights(model, ArchitectureGraph.from_keras(model))
    assert found == {first: model.layers[1], second: model.layers[2]}


def test_twins_that_are_called_like_each_other():
    def model(*names):
        inputs = keras.Input((3,))
        left, right = (layers.Dense(2, name=name)(inputs) for name in names)
        return keras.Model(inputs, layers.Subtract()([left, right]))

    names = [n for n in ArchitectureGraph.from_keras(model("a", "b")).layer_names if "Dense" in n]
    swapped = model(*reversed(names))
    graph = ArchitectureGraph.from_keras(swapped)
    found = layers_with_weights(swapped, graph)
    given = dict(zip(graph.layer_names, (layer.name for layer in graph.layers), strict=True))
    assert {name: layer.name for name, layer in found.items()} == {n: given[n] for n in names}


def test_the_model_of_another_graph_is_refused():
    graph = ArchitectureGraph.from_keras(chain("a", "b"))
    with pytest.raises(ArchitectureError, match=r"no layer .*'b'"):
        layers_with_weights(chain("a", "c"), graph)


def test_the_order_of_a_quantized_layers_weights_does_not_depend_on_its_past():
    model = chain(widths=(4, 4))
    model.quantize("float8")
    built = ArchitectureGraph.from_keras(model).to_keras()
    for here, there in zip(model.layers[1:], built.layers[1:], strict=True):
        assert [w.name for w in variables_of(here)] == [w.name for w in variables_of(there)]
        assert len(variables_of(here)) == len(here.weights)
