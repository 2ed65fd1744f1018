"""Every format predicts what the model does, on the built-in spaces, or is not written."""

import itertools

import keras
import numpy as np
import pytest
from built_in_spaces import BUILT_IN
from stored_run import draw_weights

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.predictions import example_inputs, predict
from parsl_tl.errors import ExportError, ImpossibleArchitectureError
from parsl_tl.export import FORMATS
from parsl_tl.spaces import get_space
from parsl_tl.spaces.mutation import random_arch_seq

# The others are of the same layers, or larger; a cell of convolutions is what converters get wrong.
FEW = {
    *((space, name) for space in ("combo", "nt3-small") for name in FORMATS),
    ("conv-cells", "onnx"),
}


def build(name, seed=0):
    """Draws a network of a space that is not the same for all inputs."""
    space, arguments, shape, heads = BUILT_IN[name]
    found = get_space(space, **arguments)
    for draw in range(seed, 100):
        arch_seq = random_arch_seq(found, np.random.default_rng(draw))
        try:
            graph = found.build(arch_seq, shape, heads)
        except ImpossibleArchitectureError:
            continue
        model = graph.to_keras()
        for layer, weights in draw_weights(graph, draw).items():
            model.get_layer(layer).set_weights(weights)
        outputs = predict(model, example_inputs(model))
        if all(np.isfinite(one).all() and one.std(axis=0).max() > 1e-4 for one in outputs):
            return model
    raise AssertionError(f"{name}: nothing but constants")


@pytest.mark.parametrize(
    ("space", "format_name"),
    [
        pair if pair in FEW else pytest.param(*pair, marks=pytest.mark.full)
        for pair in itertools.product(BUILT_IN, FORMATS)
    ],
)
def test_it_predicts_the_same(space, format_name, tmp_path):
    written = FORMATS[format_name]
    try:
        written.check()
    except ExportError as error:
        pytest.skip(str(error))
    files = written.write(build(space), tmp_path, "0")
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert all(file.stat().st_size > 100 for file in files)


def model_of(*layers, shape=(4,), dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype)
    tensor = inputs
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


@keras.saving.register_keras_serializable("tests.export")
class Noise(keras.layers.Layer):
    """Adds noise when it predicts, too."""

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs))


@pytest.mark.parametrize("format_name", ["keras", "safetensors"])
def test_what_draws_at_random_is_not_written_as_the_same(format_name, tmp_path):
    with pytest.raises(ExportError, match=r"predicts otherwise .* by up to"):
        FORMATS[format_name].write(model_of(Noise()), tmp_path, "0")
    assert not list(tmp_path.glob("*.keras"))


def test_state_that_derives_from_weights_comes_back(tmp_path):
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    model = ArchitectureGraph.from_keras(model_of(normalization, keras.layers.Dense(2))).to_keras()
    model.layers[1].set_weights(normalization.get_weights())
    model.layers[1].finalize_state()
    FORMATS["safetensors"].write(model, tmp_path, "0")


def test_what_onnx_has_no_words_for_is_told_of(tmp_path):
    pytest.importorskip("tf2onnx")
    words = keras.layers.StringLookup(vocabulary=["one", "two"], output_mode="multi_hot")
    model = model_of(words, keras.layers.Dense(2), shape=(3,), dtype="string")
    FORMATS["keras"].write(model, tmp_path, "0")
    with pytest.raises(ExportError, match=r"cannot be an ONNX file .* as 'keras'"):
        FORMATS["onnx"].write(model, tmp_path, "0")
