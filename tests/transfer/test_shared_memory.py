"""Weights that Keras uses where they lie."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.store import open_store
from parsl_tl.transfer import StoreTransfer
from parsl_tl.transfer.shared_memory import set_weights
from parsl_tl.transfer.store import disconnect
from parsl_tl.transfer.weights import layers_with_weights, read_weights

WIDTH = 128  # a kernel of 64 KiB


def aligned(shape, dtype="float32", offset=0):
    """A read-only array of random numbers, ``offset`` bytes past a multiple of 64."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 128 + offset, "uint8")
    begin = -memory.ctypes.data % 64 + offset
    array = memory[begin : begin + size].view(dtype).reshape(shape)
    array[...] = np.random.default_rng(0).random(shape) * 0.1
    array.flags.writeable = False
    return array


def lies_in(variable, array):
    class Tensor:
        def __dlpack__(self, **kwargs):
            return tf.experimental.dlpack.to_dlpack(variable.value.value())

        def __dlpack_device__(self):
            return (1, 0)

    return np.from_dlpack(Tensor()).ctypes.data == array.ctypes.data


def dense():
    layer = keras.layers.Dense(WIDTH)
    layer.build((None, WIDTH))
    return layer


def test_memory_that_lies_suitably_is_used():
    layer, kernel, bias = dense(), aligned((WIDTH, WIDTH)), aligned((WIDTH,))
    set_weights(layer, [kernel, bias])
    assert lies_in(layer.kernel, kernel)
    assert not lies_in(layer.bias, bias)  # small
    assert np.array_equal(layer.get_weights()[0], kernel)
    assert np.array_equal(layer.get_weights()[1], bias)


@pytest.mark.parametrize(
    "kernel",
    [
        aligned((WIDTH, WIDTH), offset=4),
        aligned((WIDTH, WIDTH)).T,
        aligned((WIDTH, WIDTH), "float64"),
    ],
    ids=["askew", "transposed", "another dtype"],
)
def test_other_memory_is_copied(kernel):
    layer = dense()
    set_weights(layer, [kernel, np.zeros(WIDTH, "float32")])
    assert not lies_in(layer.kernel, kernel)
    assert np.array_equal(layer.get_weights()[0], kernel.astype("float32"))


def test_the_memory_lives_as_long_as_the_layer():
    layer, kernel = dense(), aligned((WIDTH, WIDTH))
    expected, memory = kernel.copy(), weakref.ref(kernel.base)
    set_weights(layer, [kernel, np.zeros(WIDTH, "float32")])
    del kernel
    gc.collect()
    assert memory() is not None
    assert np.array_equal(layer.get_weights()[0], expected)
    del layer
    gc.collect()
    assert memory() is None


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "lion"])
def test_training_writes_to_memory_of_its_own(optimizer, jit_compile):
    """The arrays are read-only pages in a store: writing to them would kill the process."""
    layer, kernel = dense(), aligned((WIDTH, WIDTH))
    expected = kernel.copy()
    set_weights(layer, [kernel, np.zeros(WIDTH, "float32")])
    model = keras.Sequential([keras.Input((WIDTH,)), layer, keras.layers.Dense(2)])
    x, y = np.random.rand(32, WIDTH), np.random.rand(32, 2)
    layer.trainable = False
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    model.fit(x, y, epochs=2, verbose=0)
    assert lies_in(layer.kernel, kernel)
    layer.trainable = True
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    model.fit(x, y, epochs=2, verbose=0)
    assert not np.array_equal(layer.get_weights()[0], expected)
    assert np.array_equal(kernel, expected)


def test_moving_statistics_leave_the_memory_alone():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 8192))
    arrays = [aligned((8192,)) for _ in layer.weights]
    expected = arrays[0].copy()
    set_weights(layer, arrays)
    assert all(lies_in(*pair) for pair in zip(layer.weights, arrays, strict=True))
    layer(np.random.rand(16, 8192), training=True)
    assert not np.array_equal(layer.get_weights()[2], expected)
    assert all(np.array_equal(array, expected) for array in arrays)


def test_a_stored_model_survives_what_becomes_of_the_child(tmp_path):
    uri = f"embedded:{tmp_path / 'store'}"
    inputs = keras.Input((WIDTH,))
    hidden = keras.layers.Dense(WIDTH, activation="relu")(inputs)
    graph = ArchitectureGraph.from_keras(keras.Model(inputs, keras.layers.Dense(2)(hidden)))
    donor, method = graph.to_keras(), StoreTransfer(uri)
    names = list(layers_with_weights(donor, graph))
    method.store(donor, graph, names, model_id=1, quality=0.5)
    expected = read_weights(layers_with_weights(donor, graph))

    child = graph.to_keras()
    transferred = method.transfer(child, graph, model_id=2)
    assert set(transferred.layer_names) == set(names)
    with open_store(uri) as store:
        views = store.read(1, names)
        assert np.array_equal(views[names[0]][0], child.layers[1].get_weights()[0])
    child.compile("adam", "mse")
    child.fit(np.random.rand(32, WIDTH), np.random.rand(32, 2), epochs=2, verbose=0)
    trained = read_weights(layers_with_weights(child, graph))
    assert not np.array_equal(trained[names[0]][0], expected[names[0]][0])

    # Retired and closed: a second child still has what it took.
    other = graph.to_keras()
    lease = method.transfer(other, graph, model_id=3)
    method.retire(1)
    del transferred, lease, child
    method.close()
    disconnect()
    gc.collect()
    for name, layer in layers_with_weights(other, graph).items():
        for array, wanted in zip(layer.get_weights(), expected[name], strict=True):
            assert np.array_equal(array, wanted)
