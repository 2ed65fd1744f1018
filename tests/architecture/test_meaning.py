"""What counts in an architecture and what does not: order of keywords, classes, keys, axes."""

import json
import random
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl.architecture import ArchitectureGraph, longest_common_prefix
from parsl_tl.errors import ArchitectureError
from parsl_tl.graph_meta.line_parser import LineParser

keras = pytest.importorskip("keras")
layers, ops = keras.layers, keras.ops


def graph_of(model):
    return ArchitectureGraph.from_keras(model)


def sequential(*inner, shape=(8,), **kwargs):
    return keras.Sequential([keras.Input(shape, **kwargs), *inner])


def check_predictions(model, inputs):
    graph = graph_of(model)
    again = ArchitectureGraph.from_json(graph.to_json()).to_keras()
    assert graph_of(again) == graph
    again.set_weights(model.get_weights())
    mine, theirs = keras.tree.flatten(again(inputs)), keras.tree.flatten(model(inputs))
    for left, right in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
    return again


def check_line(text, graph):
    parser = LineParser()
    parser.add(text.encode())
    batch = parser.take(np.zeros(1, np.uint64))
    assert sorted(batch.keys.tolist()) == sorted(graph.layer_keys.tolist())


def attention(**swapped):
    names = {"query": 0, "value": 1, "key": 2, **swapped}
    inputs = [keras.Input((5, 8)), keras.Input((6, 8)), keras.Input((6, 8))]
    given_ = {name: inputs[number] for name, number in names.items()}
    outputs = layers.MultiHeadAttention(2, 4)(**given_)
    return keras.Model(inputs, layers.Dense(3)(outputs))


def test_keywords_exchanged_are_another_model():
    one, two = attention(), attention(value=2, key=1)
    assert graph_of(one) != graph_of(two)
    common = longest_common_prefix(graph_of(two), graph_of(one))
    assert {name.split("_")[0] for name in common} == {"InputLayer"}
    inputs = [np.random.default_rng(i).normal(size=(1, 5 + (i > 0), 8)) for i in range(3)]
    check_predictions(one, inputs)
    check_predictions(two, inputs)


def test_the_places_and_the_keywords_of_attention_are_the_same():
    inputs = [keras.Input((5, 8)), keras.Input((6, 8)), keras.Input((6, 8))]
    outputs = layers.Dense(3)(layers.MultiHeadAttention(2, 4)(*inputs))
    assert graph_of(keras.Model(inputs, outputs)) == graph_of(attention())


@keras.saving.register_keras_serializable("tests")
class Mixed(layers.Layer):
    """Takes tensors in dicts, by keywords."""

    def call(self, inputs, gate=None, extra=None):
        total = inputs["a"] - 2.0 * inputs["b"]
        total = total if gate is None else total * gate
        return total if extra is None else total + extra["y"] - 3.0 * extra["x"]


def mixed(places, reverse):
    inputs = [keras.Input((4,)) for _ in range(5)]
    a, b, gate, x, y = (inputs[place] for place in places)
    kwargs = {"gate": gate, "extra": {"x": x, "y": y}}
    argument = {"a": a, "b": b}
    if reverse:
        kwargs = {"extra": {"y": y, "x": x}, "gate": gate}
        argument = {"b": b, "a": a}
    return keras.Model(inputs, layers.Dense(2)(Mixed()(argument, **kwargs)))


def shuffled(value, rng):
    if isinstance(value, dict):
        items = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 1 << 30))
def test_the_order_in_which_dicts_are_written_has_no_meaning(places, seed):
    graph = graph_of(mixed(places, reverse=False))
    assert graph == graph_of(mixed(places, reverse=True))
    assert (graph == graph_of(mixed(range(5), reverse=False))) == (places == list(range(5)))
    document = shuffled(json.loads(graph.to_json()), random.Random(seed))
    text = json.dumps(document)
    read = ArchitectureGraph.from_json(text)
    assert read == graph
    check_line(text, graph)


def test_predictions_of_a_model_with_dicts_as_arguments():
    inputs = [np.random.default_rng(i).normal(size=(2, 4)) for i in range(5)]
    check_predictions(mixed((3, 1, 0, 4, 2), reverse=True), inputs)


def class_of(module, body, base=layers.Layer, name="Block"):
    made = types.new_class(name, (base,), exec_body=lambda space: space.update(call=body))
    made.__module__ = module
    return made


def test_a_class_counts_with_its_module():
    def same(self, x):
        return x

    def graph(cls, **kwargs):
        return graph_of(sequential(cls(**kwargs), layers.Dense(2)))

    one, two = class_of("lib1", same), class_of("lib2", same)
    assert graph(one) != graph(two)
    assert graph(one) == graph(class_of("lib1", same))
    for module in ("__main__", "lib1"):
        dense = class_of(module, layers.Dense.call, layers.Dense, "Dense")
        assert graph(dense, units=4) != graph(layers.Dense, units=4)
        assert longest_common_prefix(graph(dense, units=4), graph(layers.Dense, units=4)) != []

    def wrapped(cls):
        inner = layers.TimeDistributed(cls(3))
        return graph_of(sequential(inner, layers.Flatten(), shape=(4, 3)))

    assert wrapped(dense) != wrapped(layers.Dense)


def test_objects_of_users_in_a_config_count_with_their_module():
    def constrained(base, module):
        name = base.__name__
        made = types.new_class(name, (base,)) if module else base
        made.__module__ = module or base.__module__
        key = {
            "NonNeg": "kernel_constraint",
            "L2": "kernel_regularizer",
            "Ones": "kernel_initializer",
        }[name]
        return graph_of(sequential(layers.Dense(3, **{key: made()})))

    for base in (
        keras.constraints.NonNeg,
        keras.regularizers.L2,
        keras.initializers.Ones,
    ):
        graphs = [constrained(base, module) for module in (None, "lib1", "lib2", "__main__")]
        assert len(set(graphs)) == 4


def test_an_operation_is_no_layer_of_the_same_name():
    x = keras.Input((4,))
    a, b = layers.Dense(4)(x), layers.Dense(4, use_bias=False)(x)
    plus, layer = keras.Model(x, ops.add(a, b)), keras.Model(x, layers.Add()([a, b]))
    assert graph_of(plus) != graph_of(layer)
    assert graph_of(plus) == graph_of(keras.Model(x, a + b))


@pytest.mark.parametrize("module", ["keras.src.layers.core.dense", "keras.layers.core", None])
def test_the_path_of_a_class_of_keras_does_not_count(module):
    model = sequential(layers.Dense(3))
    document = json.loads(graph_of(model).to_json())
    document["config"]["layers"][1]["module"] = module
    assert ArchitectureGraph.from_json(json.dumps(document)) == graph_of(model)


def priced(keys, order=("price", "age")):
    tensors = {key: keras.Input((4,)) for key in order}
    left, right = (tensors[key] for key in keys)
    return keras.Model(
        tensors, layers.Dense(2)(layers.Concatenate()([layers.Dense(3)(left), right]))
    )


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_the_keys_of_inputs_count_and_their_order_does_not():
    one = priced(("price", "age"))
    assert graph_of(one) == graph_of(priced(("price", "age"), ("age", "price")))
    assert graph_of(one) != graph_of(priced(("age", "price")))
    assert graph_of(one) != graph_of(priced(("x", "y"), ("x", "y")))
    x = {
        key: np.random.default_rng(i).normal(size=(2, 4)) for i, key in enumerate(("age", "price"))
    }
    again = check_predictions(one, x)
    assert sorted(again.input) == ["age", "price"]


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_nested_inputs_and_outputs_are_kept():
    def model(first="a", out="scores"):
        a, b, c = (keras.Input((4,)) for _ in range(3))
        inputs = {"pair": [a, (b,)], "one": {"c": c}}
        tensors = [a, b, c] if first == "a" else [b, a, c]
        x = layers.Concatenate()(tensors)
        return keras.Model(inputs, {out: layers.Dense(2)(x), "both": [x, layers.Dense(3)(x)]})

    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, 4)) for _ in range(3)]
    again = check_predictions(model(), {"pair": [x[0], [x[1]]], "one": {"c": x[2]}})
    assert sorted(again.output) == ["both", "scores"]
    assert graph_of(model()) == graph_of(model())
    assert graph_of(model()) != graph_of(model("b"))
    assert graph_of(model()) != graph_of(model(out="logits"))


def test_a_structure_that_does_not_fit_is_refused():
    graph = graph_of(sequential(layers.Dense(2)))
    with pytest.raises(ArchitectureError, match="number each once"):
        ArchitectureGraph(graph.layers, graph.inputs, graph.outputs, input_structure={"a": 1})


def encoder(units, out):
    inputs = keras.Input((units,))
    return keras.Model(inputs, layers.Dense(out)(inputs))


def chain(units, out):
    return sequential(layers.Dense(out), shape=(units,))


@pytest.mark.parametrize("inner", [encoder, chain])
def test_nested_models_as_outputs_and_shared(inner):
    a, b = keras.Input((6,)), keras.Input((6,))
    shared, head, loop = inner(6, 4), inner(4, 3), inner(4, 4)
    x = [np.random.default_rng(i).normal(size=(2, 6)) for i in range(2)]
    models = [
        keras.Model([a, b], [inner(4, 3)(shared(a)), inner(4, 3)(shared(b))]),
        keras.Model([a, b], [head(shared(b)), head(shared(a))]),
        keras.Model([a, b], [shared(a), layers.Dense(2)(shared(b))]),
        keras.Model([a, b], [loop(loop(shared(a))), loop(shared(b))]),
        keras.Model([a, b], [shared(b), loop(shared(b)), shared(a)]),
    ]
    for model in models:
        check_predictions(model, x)
        assert ArchitectureGraph.from_json(model.to_json()) == graph_of(model)
    assert len(set(map(graph_of, models))) == len(models)
    unused = inner(6, 4)
    kept = unused(a), unused(b)
    assert graph_of(keras.Model(b, kept[1])) == graph_of(keras.Model(a, kept[0]))
    assert [ref.call for ref in graph_of(models[0]).outputs] == [0, 0]


SEQUENTIAL = {
    "BatchNormalization": lambda: sequential(layers.Dense(4), layers.BatchNormalization()),
    "GlobalAveragePooling1D": lambda: sequential(
        layers.Conv1D(4, 3), layers.GlobalAveragePooling1D(), shape=(8, 3)
    ),
    "LSTM": lambda: sequential(layers.LSTM(4), layers.Dense(2), shape=(5, 3)),
    "Bidirectional": lambda: sequential(layers.Bidirectional(layers.GRU(4)), shape=(5, 3)),
    "mask of an Embedding": lambda: sequential(
        layers.Embedding(10, 4, mask_zero=True),
        layers.Dropout(0.1),
        layers.LSTM(4, return_sequences=True),
        layers.TimeDistributed(layers.Dense(3)),
        layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
        layers.Conv1D(3, 2),
        layers.GlobalAveragePooling1D(),
        shape=(5,),
    ),
    "mask of a Masking": lambda: sequential(
        layers.Masking(-1.0), layers.Dense(3), layers.GRU(4), layers.Softmax(), shape=(5, 3)
    ),
    "mask that is not used": lambda: sequential(
        layers.Embedding(10, 4, mask_zero=True), layers.Flatten(), layers.Dense(2), shape=(5,)
    ),
    "nested": lambda: sequential(chain(8, 4), encoder(4, 3)),
}


@pytest.mark.parametrize("make", SEQUENTIAL.values(), ids=list(SEQUENTIAL))
def test_a_sequential_model_from_json_is_the_one_from_keras(make):
    model = make()
    graph = graph_of(model)
    for text in (model.to_json(), json.dumps(model.get_config())):
        read = ArchitectureGraph.from_json(text)
        assert read == graph
        check_line(text, graph)
        assert graph_of(read.to_keras()) == graph
    x = np.random.default_rng(0).integers(0, 3, size=(2, *model.input_shape[1:]))
    check_predictions(model, x.astype("f4"))


def test_what_does_not_count():
    def same(one, other):
        assert graph_of(one) == graph_of(other)

    same(sequential(layers.Dense(2)), sequential(layers.Dense(2), batch_size=16))
    same(
        sequential(layers.Dense(2, kernel_initializer=keras.initializers.HeNormal(seed=1))),
        sequential(layers.Dense(2, kernel_initializer=keras.initializers.HeNormal(seed=2))),
    )
    same(sequential(layers.Dropout(0.1, seed=1)), sequential(layers.Dropout(0.1, seed=2)))
    for made in (
        layers.BatchNormalization,
        layers.LayerNormalization,
        layers.Softmax,
        layers.UnitNormalization,
        lambda axis: layers.GroupNormalization(1, axis=axis),
    ):
        last, other = (sequential(made(axis=axis), shape=(4, 3)) for axis in (2, 1))
        same(last, sequential(made(axis=-1), shape=(4, 3)))
        same(other, sequential(made(axis=-2), shape=(4, 3)))
        assert graph_of(last) != graph_of(other)
        check_line(last.to_json(), graph_of(last))
    a, b = keras.Input((4, 3)), keras.Input((4, 3))
    for made in (layers.Concatenate, lambda axis: layers.Dot(axes=axis)):
        same(keras.Model([a, b], made(axis=2)([a, b])), keras.Model([a, b], made(axis=-1)([a, b])))


def test_what_a_user_calls_a_seed_counts():
    cls = class_of("lib1", lambda self, x: x)
    graphs = []
    for seed in (1, 2):
        document = json.loads(graph_of(sequential(cls())).to_json())
        document["config"]["layers"][1]["config"]["seed"] = seed
        graphs.append(ArchitectureGraph.from_json(json.dumps(document)))
    assert graphs[0] != graphs[1]
