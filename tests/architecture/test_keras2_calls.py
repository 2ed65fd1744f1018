"""Keras 2 models whose calls and nesting Keras 3 writes in another way.

``data/keras2_calls.json`` and ``data/keras3_calls.json`` hold the same models as tf-keras 2.21 and
Keras 3.15 write them: masks, attention, operations, nested and shared models, dict inputs, states.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from parsl_tl import ArchitectureGraph
from parsl_tl.errors import ArchitectureError
from parsl_tl.graph_meta.line_parser import LineParser

DATA = Path(__file__).parents[1] / "data"
KERAS2 = (DATA / "keras2_calls.json").read_text().splitlines()
KERAS3 = (DATA / "keras3_calls.json").read_text().splitlines()
PAIRS = list(zip(KERAS2, KERAS3, strict=True))
OTHERS = [
    line
    for name in ("keras2_models.json", "keras3_models.json")
    for line in (DATA / name).read_text().splitlines()
]


def last_class(text):
    return json.loads(text)["config"]["layers"][-1]["class_name"]


def check_line(text, graph):
    parser = LineParser()
    parser.add(text.encode())
    batch = parser.take(np.zeros(1, np.uint64))
    assert sorted(batch.keys.tolist()) == sorted(graph.layer_keys.tolist())


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=map(last_class, KERAS3))
def test_equal_models_are_equal(old, new):
    graph, expected = ArchitectureGraph.from_json(old), ArchitectureGraph.from_json(new)
    assert graph == expected
    assert sorted(graph.layer_names) == sorted(expected.layer_names)
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    for text in (old, new):
        check_line(text, expected)


@pytest.mark.parametrize("text", [*KERAS2, *KERAS3, *OTHERS])
def test_a_config_alone_is_read(text):
    document = json.loads(text)
    graph = ArchitectureGraph.from_json(text)
    bare = json.dumps(document["config"])
    assert ArchitectureGraph.from_json(bare) == graph
    check_line(bare, graph)


@pytest.mark.parametrize("old", KERAS2, ids=map(last_class, KERAS3))
def test_keras_builds_what_was_read(old):
    pytest.importorskip("keras")
    graph = ArchitectureGraph.from_json(old)
    assert ArchitectureGraph.from_keras(graph.to_keras()) == graph


def dense(name, units, *sources, **more):
    """A Dense layer as Keras 2.0 wrote it: without dtype, with a scaling as initializer."""
    scaling = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}
    config = {
        "name": name,
        "trainable": True,
        "units": units,
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": {"class_name": "VarianceScaling", "config": scaling},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
        **more,
    }
    entry = {"class_name": "Dense", "config": config}
    if sources:
        nodes = [[[source, 0, 0, {}]] for source in sources]
        return {**entry, "name": name, "inbound_nodes": nodes}
    return entry


FIRST = {"batch_input_shape": [None, 8], "dtype": "float32"}
STACK = [dense("a", 4, **FIRST), dense("b", 2)]


def sequential_of_today():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(2)])
    return ArchitectureGraph.from_keras(model)


@pytest.mark.parametrize(
    "document",
    [
        {"class_name": "Sequential", "config": STACK, "keras_version": "2.0.9"},
        {"class_name": "Sequential", "config": {"name": "s", "layers": STACK}},
        {"name": "s", "layers": STACK},
        STACK,
    ],
)
def test_sequential_models_of_every_age(document):
    graph = ArchitectureGraph.from_json(json.dumps(document))
    assert graph == sequential_of_today()
    assert graph.to_keras().count_params() == 46
    check_line(json.dumps(document), graph)


def test_a_nested_sequential_model_of_keras_2_0():
    keras = pytest.importorskip("keras")
    feed = {"batch_input_shape": [None, 8], "dtype": "float32", "sparse": False, "name": "in"}
    inner = {"class_name": "Sequential", "config": STACK, "name": "inner"}
    inner["inbound_nodes"] = [[["in", 0, 0, {}]]]
    last = dense("o", 3, "inner")
    last["inbound_nodes"][0][0][1] = 1
    entry = {"class_name": "InputLayer", "config": feed, "name": "in", "inbound_nodes": []}
    config = {"name": "m", "layers": [entry, inner, last]}
    config |= {"input_layers": [["in", 0, 0]], "output_layers": [["o", 0, 0]]}
    document = {"class_name": "Model", "config": config, "keras_version": "2.0.9"}
    graph = ArchitectureGraph.from_json(json.dumps(document))
    x = keras.Input((8,))
    layers = keras.layers
    nested = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(2)])
    expected = keras.Model(x, layers.Dense(3)(nested(x)))
    assert graph == ArchitectureGraph.from_keras(expected)
    assert graph.to_keras().count_params() == 55


def operation(function, **kwargs):
    document = json.loads(next(line for line in KERAS2 if '"__operators__.add"' in line))
    entry = document["config"]["layers"][-1]
    entry["config"]["function"] = function
    entry["inbound_nodes"][0][3].update(kwargs)
    return ArchitectureGraph.from_json(json.dumps(document))


def test_an_operation_without_counterpart_is_read_and_named_when_built():
    pytest.importorskip("keras")
    graph = operation("signal.fft")
    assert graph != operation("signal.rfft")
    with pytest.raises(ArchitectureError, match=r"'tf.__operators__.add'.*'signal.fft'"):
        graph.to_keras()
    with pytest.raises(ArchitectureError, match="TensorFlow"):
        operation("math.add", axis=1).to_keras()


def test_what_a_class_refuses_is_named():
    pytest.importorskip("keras")
    stack = [dense("a", 4, **FIRST), dense("b", 2, gates=3)]
    with pytest.raises(ArchitectureError, match=r"layer 'b': the class 'Dense' .* gates"):
        ArchitectureGraph.from_json(json.dumps(stack)).to_keras()
    stack[1]["class_name"] = "Highway"
    with pytest.raises(ArchitectureError, match="layer 'b': the class 'Highway'"):
        ArchitectureGraph.from_json(json.dumps(stack)).to_keras()


def test_functions_of_keras_2_match_nothing():
    stack = json.dumps([dense("a", 4, **FIRST), dense("b", 2, activation="my_own")])
    graph = ArchitectureGraph.from_json(stack)
    assert graph != ArchitectureGraph.from_json(stack)
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    with pytest.raises(ArchitectureError, match="'my_own'"):
        graph.to_keras()
