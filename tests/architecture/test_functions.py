"""Functions match by their code, wherever it stands, or not at all."""

import json
import types

import numpy as np
import pytest

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.function_code import code_digest
from parsl_tl.architecture.functions import _KNOWN
from parsl_tl.errors import ArchitectureError

keras = pytest.importorskip("keras")
layers, ops = keras.layers, keras.ops

pytestmark = pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")


def squared(factor):
    return lambda x: ops.square(x) * factor


def first():
    return lambda x: ops.square(x) * 2.0


def elsewhere():
    return lambda x: ops.square(x) * 2.0


def another():
    return lambda x: ops.square(x) * 3.0


def relu(x):
    """A user's function that is called like one of Keras'."""
    return ops.minimum(x, 0.0)


@keras.saving.register_keras_serializable("tests")
def doubled(x):
    return ops.tanh(x) * 2.0


@keras.saving.register_keras_serializable("tests")
def doubled_too(x):
    return ops.tanh(x) * 2.0


@keras.saving.register_keras_serializable("tests")
def tripled(x):
    return ops.tanh(x) * 3.0


def ones(shape, dtype=None):
    return ops.ones(shape, dtype)


@keras.saving.register_keras_serializable("tests")
class Applied(layers.Layer):
    """A user's layer that holds a function."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)

    def get_config(self):
        written = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": written}

    @classmethod
    def from_config(cls, config):
        found = keras.saving.deserialize_keras_object(config.pop("function"))
        return cls(found, **config)


def model(*inner, shape=(8,)):
    return keras.Sequential([keras.Input(shape), *inner, layers.Dense(2)])


# How a model of a function is made, and the shape that goes in.
PLACES = {
    "Lambda": (layers.Lambda, (8,)),
    "activation": (lambda f: layers.Dense(3, activation=f), (8,)),
    "Activation": (layers.Activation, (8,)),
    "LSTM": (lambda f: layers.LSTM(3, activation=f), (4, 3)),
    "cell": (lambda f: layers.RNN([layers.LSTMCell(3, activation=f)]), (4, 3)),
    "wrapped": (lambda f: layers.TimeDistributed(layers.Dense(3, activation=f)), (4, 3)),
    "nested": (lambda f: model(layers.Lambda(f)), (8,)),
    "nested twice": (lambda f: model(model(layers.Dense(3, activation=f))), (8,)),
    "of a user's layer": (Applied, (8,)),
}


def graph_of(place, function):
    make, shape = PLACES[place]
    return ArchitectureGraph.from_keras(model(make(function), shape=shape))


@pytest.mark.parametrize("place", PLACES)
def test_equal_code_matches_and_other_code_does_not(place):
    graph = graph_of(place, first())
    assert graph == graph_of(place, elsewhere())
    assert graph != graph_of(place, another())
    assert graph_of(place, squared(2.0)) == graph_of(place, squared(2.0))
    assert graph_of(place, squared(2.0)) != graph_of(place, squared(3.0))


@pytest.mark.parametrize("function", [doubled, relu, first()])
@pytest.mark.parametrize("place", PLACES)
def test_a_model_with_functions_comes_back(place, function):
    make, shape = PLACES[place]
    there = model(make(function), shape=shape)
    graph = ArchitectureGraph.from_keras(there)
    read = ArchitectureGraph.from_json(graph.to_json())
    assert read == graph
    assert read.layer_names == graph.layer_names
    again = read.to_keras()
    assert ArchitectureGraph.from_keras(again) == graph
    again.set_weights(there.get_weights())
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("f4")
    np.testing.assert_allclose(there(x), again(x), rtol=1e-5, atol=1e-6)


def test_both_directions_are_followed():
    def wrapped(function):
        wrapper = layers.Bidirectional(layers.LSTM(3, activation=function))
        return ArchitectureGraph.from_keras(model(wrapper, shape=(4, 3)))

    assert wrapped(doubled) == wrapped(doubled_too)
    assert wrapped(doubled) != wrapped(tripled)


def test_a_function_called_like_one_of_keras_is_not_that_one():
    own = ArchitectureGraph.from_keras(model(layers.Dense(3, activation=relu)))
    plain = ArchitectureGraph.from_keras(model(layers.Dense(3, activation="relu")))
    given = ArchitectureGraph.from_keras(model(layers.Dense(3, activation=keras.activations.relu)))
    assert own != plain
    assert given == plain


def test_initializers_and_regularizers_are_functions_too():
    def sum_of(w):
        return ops.sum(w)

    def graph(**kwargs):
        return ArchitectureGraph.from_keras(model(layers.Dense(3, **kwargs)))

    assert graph(kernel_initializer=ones) == graph(kernel_initializer=ones)
    assert graph(kernel_initializer=ones) != graph()
    assert graph(kernel_regularizer=sum_of) == graph(kernel_regularizer=sum_of)


def test_what_cannot_be_told_matches_nothing():
    variable = keras.Variable([2.0])
    assert graph_of("Lambda", squared(variable)) != graph_of("Lambda", squared(variable))


def test_what_keras_wrote_alone_matches_nothing_wrongly():
    own = model(layers.Dense(3, activation=relu)).to_json()
    named = model(layers.Activation(doubled)).to_json()
    assert ArchitectureGraph.from_json(named) != ArchitectureGraph.from_json(named)
    read = ArchitectureGraph.from_json(named)
    assert ArchitectureGraph.from_json(read.to_json()) == read
    # Nothing tells this one from Keras' own, for Keras neither.
    assert ArchitectureGraph.from_json(own) == ArchitectureGraph.from_json(own)
    text = model(layers.Lambda(first())).to_json()
    assert ArchitectureGraph.from_json(text) == ArchitectureGraph.from_json(text)
    other = model(layers.Lambda(another())).to_json()
    assert ArchitectureGraph.from_json(text) != ArchitectureGraph.from_json(other)


def test_the_bytes_of_a_lambda_are_never_run():
    graph = ArchitectureGraph.from_json(model(layers.Lambda(first())).to_json())
    with pytest.raises(ArchitectureError, match=r"'lambda\w*': it holds the bytes of a lambda"):
        graph.to_keras()


def test_an_imported_function_of_other_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "edited_functions.py").write_text("def half(x):\n    return x * 0.5\n")
    import edited_functions

    graph = ArchitectureGraph.from_keras(model(layers.Activation(edited_functions.half)))
    document = json.loads(graph.to_json())
    activation = document["config"]["layers"][1]["config"]["activation"]
    assert activation["config"] == "half"
    activation["parsl_tl_code"] = "0" * 32
    _KNOWN.clear()  # as in another process
    assert ArchitectureGraph.from_keras(graph.to_keras()) == graph
    with pytest.raises(ArchitectureError, match="'half' of the module 'edited_functions'"):
        ArchitectureGraph.from_json(json.dumps(document)).to_keras()


def test_a_registered_function_is_found_in_another_process():
    graph = ArchitectureGraph.from_keras(model(layers.Activation(doubled)))
    _KNOWN.clear()
    assert ArchitectureGraph.from_keras(graph.to_keras()) == graph


def compiled(text, **names):
    module = types.ModuleType("user_module")
    module.__dict__.update(names)
    exec(text, module.__dict__)
    return code_digest(module.f)


def test_the_digest_covers_what_a_function_does():
    texts = [
        "def f(x): return x + 1",
        "def f(x): return x + 1.0",
        "def f(x): return x + True",
        "def f(x): return x - 1",
        "def f(x, y=1): return x + 1",
        "def f(x, y=2): return x + 1",
        "def f(x, *, y=2): return x + 1",
        "def f(x): return [i + 1 for i in x]",
        "def f(x): return [i + 2 for i in x]",
        "k = 1\ndef f(x): return x + k",
        "k = 2\ndef f(x): return x + k",
        "def g(x): return x\ndef f(x): return g(x)",
        "def g(x): return x + 1\ndef f(x): return g(x)",
        "def f(x): return f(x - 1) if x else 0",
        "import numpy as np\nk = np.arange(3)\ndef f(x): return x + k",
        "import numpy as np\nk = np.arange(4)\ndef f(x): return x + k",
        "import math as m\ndef f(x): return m.sin(x)",
        "import cmath as m\ndef f(x): return m.sin(x)",
    ]
    digests = [compiled(text) for text in texts]
    assert None not in digests
    assert len(set(digests)) == len(texts)
    assert digests == [compiled("\n\n# moved\n" + text) for text in texts]


def test_a_module_of_the_user_counts_with_what_is_used_of_it():
    def helper(value):
        module = types.ModuleType("helper")
        module.k, module.unused = value, object()
        return module

    text = "def f(x): return x + helper.k"
    assert compiled(text, helper=helper(1)) == compiled(text, helper=helper(1))
    assert compiled(text, helper=helper(1)) != compiled(text, helper=helper(2))


@pytest.mark.parametrize(
    "text",
    [
        "k = object()\ndef f(x): return x + k",
        "def f(x):\n    import user_only\n    return x",
        "def f(x):\n    global k\n    k = x",
        "class K: pass\ndef f(x): return K",
    ],
)
def test_what_else_a_function_uses_is_not_told(text):
    assert compiled(text) is None
