"""Tables, derived tensors, and what only a layer's own code can carry."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from weights_kept import KINDS, method_of

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import ArchitectureError
from parsl_tl.store import open_store
from parsl_tl.store.export import export_keras, load_keras_model
from parsl_tl.transfer import NoTransfer, StoreTransfer
from parsl_tl.transfer.store import disconnect
from parsl_tl.transfer.weights import layers_with_weights, read_weights


@pytest.fixture(params=KINDS)
def method(request, tmp_path):
    yield method_of(request.param, tmp_path)
    disconnect()


@pytest.fixture
def store(tmp_path):
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        yield store


def over(layer, adapted=None, shape=(1,), dtype="float32"):
    if adapted is not None:
        layer.adapt(adapted)
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, layers.Dense(2)(layer(inputs)))


def inside(model):
    """Puts a model into another one, and that into a chain."""
    outer = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    middle = keras.Model(outer, layers.Dense(3)(model(outer)))
    last = layers.Dense(2)
    return keras.Sequential([keras.Input(outer.shape[1:], dtype=outer.dtype), middle, last])


def words(*texts, kind="string", **kwargs):
    import tensorflow as tf

    kwargs = {"output_mode": "multi_hot", "max_tokens": 8, "pad_to_max_tokens": True, **kwargs}
    if kind == "text":
        layer = layers.TextVectorization(**kwargs)
        return over(layer, np.array(texts), (), "string"), tf.constant(texts)
    if kind == "integer":
        numbers = np.array([[int(text)] for text in texts])
        return over(layers.IntegerLookup(**kwargs), numbers, (1,), "int64"), numbers
    column = np.array(texts)[:, None]
    return over(layers.StringLookup(**kwargs), column, (1,), "string"), tf.constant(column)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("kind", "mine", "others", "kwargs"),
    [
        ("string", ["a", "ö b"], ["c", "d"], {}),
        ("string", ["a", "b"], ["c", "d"], {"output_mode": "tf_idf"}),
        ("integer", ["5", "6"], ["7", "8"], {"num_oov_indices": 2}),
        ("text", ["a b", "b"], ["c d"], {}),
        ("text", ["a b", "b c b", "b"], ["c d"], {"output_mode": "tf_idf"}),
    ],
)
def test_tables_count_and_are_carried(store, tmp_path, kind, mine, others, kwargs, nested):
    model, inputs = words(*mine, kind=kind, **kwargs)
    other, _ = words(*others, kind=kind, **kwargs)
    if nested:
        model, other = inside(model), inside(other)
    graph = ArchitectureGraph.from_keras(model)
    assert graph != ArchitectureGraph.from_keras(other)
    store.put(1, graph, read_weights(layers_with_weights(model, graph)), quality=0.5)
    expected = np.asarray(model(inputs))
    np.testing.assert_allclose(np.asarray(load_keras_model(store, 1)(inputs)), expected, rtol=1e-6)
    export_keras(store, 1, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(inputs)), expected, rtol=1e-6)


def test_other_idf_weights_are_another_layer():
    few, _ = words("a b", "b", kind="text", output_mode="tf_idf")
    many, _ = words("a b", "b", "b", "b", kind="text", output_mode="tf_idf")
    vocabularies = [m.layers[1].get_vocabulary() for m in (few, many)]
    assert vocabularies[0] == vocabularies[1]
    assert ArchitectureGraph.from_keras(few) != ArchitectureGraph.from_keras(many)


def test_a_vocabulary_file_is_read_once(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nb\n")
    kwargs = {"output_mode": "multi_hot"}
    graph = ArchitectureGraph.from_keras(
        over(layers.StringLookup(vocabulary=str(path), **kwargs), dtype="string")
    )
    path.unlink()
    assert graph.to_keras().layers[1].get_vocabulary() == ["[UNK]", "a", "b"]
    again = over(layers.StringLookup(vocabulary=["a", "b"], **kwargs), dtype="string")
    assert graph == ArchitectureGraph.from_keras(again)


def test_bins_are_carried():
    first, second = (
        over(layers.Discretization(num_bins=4), np.linspace(0, top, 100)) for top in (1, 9)
    )
    graph = ArchitectureGraph.from_keras(first)
    assert graph != ArchitectureGraph.from_keras(second)
    bins = graph.to_keras().layers[1].bin_boundaries
    np.testing.assert_array_equal(bins, first.layers[1].bin_boundaries)


@pytest.mark.parametrize("wrapped", [False, True])
def test_normalization_is_made_anew(method, tmp_path, wrapped):
    data = np.random.default_rng(1).random((200, 3)) * 9 + 30

    def model(adapted):
        normalization = layers.Normalization()
        if adapted:
            normalization.adapt(data)
        if wrapped:
            inner = over(normalization, shape=(3,))
            return over(layers.TimeDistributed(inner), shape=(2, 3))
        return over(normalization, shape=(3,))

    donor, child = model(True), model(False)
    inputs = data[:4].reshape(2, 2, 3) if wrapped else data[:4]
    expected = donor.predict(inputs, verbose=0)
    child.predict(inputs, verbose=0)  # what was traced with other statistics is traced again
    graph = ArchitectureGraph.from_keras(donor)
    names = list(layers_with_weights(donor, graph))
    method.store(donor, graph, names, model_id=1, quality=0.5)
    got = method.transfer(child, ArchitectureGraph.from_keras(child), model_id=2)
    assert got.layer_names == tuple(names)
    np.testing.assert_array_equal(child.predict(inputs, verbose=0), expected)
    if isinstance(method, StoreTransfer):
        method.close()
        with open_store(method.uri) as store:
            loaded = load_keras_model(store, 1)
            export_keras(store, 1, tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), expected)
        exported = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(exported.predict(inputs, verbose=0), expected)


@keras.saving.register_keras_serializable(package="outside")
class Scaled(layers.Layer):
    """Computes a tensor from its weight whenever a file is loaded, and only then."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(1,), initializer="ones", trainable=False)
        self.doubled = keras.ops.copy(self.scale) * 2

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.doubled = self.scale * 2

    def call(self, inputs):
        return inputs * self.doubled


def test_what_a_layer_derives_when_it_is_loaded(method):
    donor, child = over(Scaled()), over(Scaled())
    donor.layers[1].scale.assign([5.0])
    donor.layers[1].doubled = donor.layers[1].scale * 2
    graph = ArchitectureGraph.from_keras(donor)
    names = list(layers_with_weights(donor, graph))
    method.store(donor, graph, names, model_id=1, quality=0.5)
    method.transfer(child, ArchitectureGraph.from_keras(child), model_id=2)
    np.testing.assert_array_equal(child(np.ones((1, 1))), donor(np.ones((1, 1))))


@keras.saving.register_keras_serializable(package="outside")
class WithFiles(layers.Layer):
    def save_assets(self, dir_path):
        (Path(dir_path) / "table.txt").write_text("1")

    def load_assets(self, dir_path):
        (Path(dir_path) / "table.txt").read_text()

    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable(package="outside")
class WithCounter(layers.Dense):
    steps = 3

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["steps"] = np.int64(self.steps)

    def load_own_variables(self, store):
        self.steps = int(store["steps"])


@keras.saving.register_keras_serializable(package="outside")
class Holder(layers.Layer):
    """Has a lookup of which its config says nothing."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookup = layers.IntegerLookup(vocabulary=[1, 2], output_mode="multi_hot")

    def call(self, inputs):
        return self.lookup(inputs)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: WithFiles(name="mine"), "float32"),
        (lambda: WithCounter(2, name="mine"), "float32"),
        (lambda: layers.TimeDistributed(WithCounter(2, name="mine")), "float32"),
        (lambda: Holder(name="mine"), "int64"),
    ],
)
def test_what_would_be_lost_is_refused_by_name(method, store, make, dtype):
    layer = make()
    shape = (2, 1) if isinstance(layer, layers.TimeDistributed) else (1,)
    model = over(layer, shape=shape, dtype=dtype)
    graph = ArchitectureGraph.from_keras(model)
    weights = read_weights(layers_with_weights(model, graph))
    wanted = "'lookup|integer_lookup" if isinstance(layer, Holder) else "'mine'"
    with pytest.raises(ArchitectureError, match=wanted):
        method.store(model, graph, list(weights), model_id=1, quality=0.5)
    with pytest.raises(ArchitectureError, match=wanted):
        store.put(1, graph, weights, quality=0.5)
    assert NoTransfer().store(model, graph, [], model_id=1, quality=0.5).quality == 0.5


def test_the_state_of_random_numbers_stays_out():
    inputs = keras.Input((4,))
    tensor = layers.Dropout(0.5, seed=1)(layers.GaussianNoise(0.1)(layers.Dense(3)(inputs)))
    model = keras.Model(inputs, layers.Dense(2)(tensor))
    graph = ArchitectureGraph.from_keras(model)
    weights = read_weights(layers_with_weights(model, graph))
    assert [len(arrays) for arrays in weights.values()] == [2, 2]
