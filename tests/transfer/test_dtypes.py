"""Weights of every dtype and name come back byte for byte, whichever the method."""

import keras
import numpy as np
import pytest
from keras import layers
from services import NEEDS_REDIS
from weights_kept import KINDS, keep, method_of, weights_of

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core.servers import RedisServer
from parsl_tl.errors import InvalidValueError, TransferError
from parsl_tl.store import open_store
from parsl_tl.store.export import export_keras, load_keras_model
from parsl_tl.transfer import Hdf5Transfer, RedisTransfer, StoreTransfer
from parsl_tl.transfer.safetensors import SafetensorsTransfer
from parsl_tl.transfer.store import disconnect

DTYPES = [
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("int8", "uint8", "int32", "int64", "bool"),
]


@pytest.fixture(params=[*KINDS, pytest.param("redis", marks=NEEDS_REDIS)])
def method(request, tmp_path):
    if request.param == "redis":
        with RedisServer() as server:
            yield RedisTransfer(f"unix://{server.socket}", prefix="größe")
        return
    yield method_of(request.param, tmp_path)
    disconnect()


def zeros(shape, dtype=None):
    return np.zeros(shape)  # TensorFlow makes no zeros of 8 bits, but takes them


@keras.saving.register_keras_serializable(package="dtypes")
class Größe(layers.Layer):
    """Has a weight of each dtype, among them one that lies in a file's memory, and a scalar."""

    dtypes = DTYPES

    def build(self, input_shape):
        for dtype in self.dtypes:
            for shape in ((), (3, 5), (128, 300)):
                self.add_weight(
                    shape=shape, dtype=dtype, initializer=zeros, trainable=False, name=dtype
                )

    def call(self, inputs):
        return inputs


def model():
    inputs = keras.Input((8,))
    tensor = layers.Dense(4, dtype="bfloat16", name="größe_π")(inputs)
    tensor = layers.Dense(3, dtype="float16")(Größe(name="weiß")(tensor))
    inner_inputs = keras.Input((3,), dtype="float16")
    inner = keras.Model(inner_inputs, layers.Dense(2, dtype="bfloat16")(inner_inputs), name="ä")
    return keras.Model(inputs, layers.Dense(2)(inner(tensor)))


def test_every_dtype(method, monkeypatch):
    if isinstance(method, Hdf5Transfer):
        network = model()
        graph = ArchitectureGraph.from_keras(network)
        with pytest.raises(TransferError, match=r"float8_e4m3fn.*safetensors or store"):
            keep(method, network, graph, 1)
        monkeypatch.setattr(Größe, "dtypes", [name for name in DTYPES if "float8" not in name])
    random = np.random.default_rng(0)
    donor, child = model(), model()
    for weight in donor.weights:
        weight.assign((random.random(weight.shape) * 7 - 3).astype(weight.numpy().dtype))
    graph = ArchitectureGraph.from_keras(donor)
    keep(method, donor, graph, 1)
    own = ArchitectureGraph.from_keras(child)
    got = method.transfer(child, own, model_id=2)
    expected = weights_of(donor, graph)
    assert got.layer_names == tuple(expected)
    assert weights_of(child, own) == expected
    if isinstance(method, StoreTransfer):
        with open_store(method.uri) as store:
            assert weights_of(load_keras_model(store, 1), graph) == expected


def test_8_bit_floats_are_not_exported(tmp_path):
    network = model()
    graph = ArchitectureGraph.from_keras(network)
    method = StoreTransfer(f"embedded:{tmp_path / 'store'}")
    keep(method, network, graph, 1)
    method.close()
    with open_store(method.uri) as store, pytest.raises(InvalidValueError, match="float8"):
        export_keras(store, 1, tmp_path / "model.keras")


def test_an_exported_model_has_the_same_bytes(tmp_path):
    inputs = keras.Input((8,))
    hidden = layers.Dense(4, dtype="bfloat16", name="größe_π")(inputs)
    donor = keras.Model(inputs, layers.Dense(2, dtype="float16")(hidden))
    graph = ArchitectureGraph.from_keras(donor)
    method = StoreTransfer(f"embedded:{tmp_path / 'store'}")
    keep(method, donor, graph, 1)
    method.close()
    with open_store(method.uri) as store:
        path = export_keras(store, 1, tmp_path / "größe.keras")
    assert weights_of(keras.models.load_model(path), graph) == weights_of(donor, graph)


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_quantized_layers(method, mode):
    inputs = keras.Input((8,))
    donor = keras.Model(inputs, layers.Dense(4)(layers.Dense(8)(inputs)))
    donor.quantize(mode)
    graph = ArchitectureGraph.from_keras(donor)
    keep(method, donor, graph, 1)
    child = graph.to_keras()  # built so, and not quantized in place
    assert len(method.transfer(child, graph, model_id=2).layer_names) == 2
    assert weights_of(child, graph) == weights_of(donor, graph)


@pytest.mark.parametrize("kind", ["hdf5", "keras"])
def test_wrappers_in_kerass_own_files(tmp_path, kind):
    def network():
        inputs = keras.Input((5, 8))
        tensor = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
        tensor = layers.TimeDistributed(layers.Dense(3))(tensor)
        tensor = layers.SpectralNormalization(layers.Dense(4))(tensor)
        return keras.Model(inputs, layers.MultiHeadAttention(2, 3)(tensor, tensor))

    donor, child = network(), network()
    graph = ArchitectureGraph.from_keras(donor)
    method = method_of(kind, tmp_path)
    keep(method, donor, graph, 1)
    own = ArchitectureGraph.from_keras(child)
    assert len(method.transfer(child, own, model_id=2).layer_names) == 4
    assert weights_of(child, own) == weights_of(donor, graph)


def test_memory_in_another_order(tmp_path):
    method = SafetensorsTransfer(tmp_path)
    array = np.arange(6.0, dtype=np.float32).reshape(2, 3).T
    method.write_file(tmp_path / "a.safetensors", None, {}, {"layer": [array]})
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["layer/0"], array)
