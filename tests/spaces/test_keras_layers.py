"""Layers of graphs are those that Keras makes: equal configurations, hashes and shapes."""

import json
import pickle

import pytest

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.errors import ImpossibleArchitectureError, SpaceError
from parsl_tl.spaces import keras_layers as own

LAYERS = [
    ((5,), own.dense, (4, "swish"), {}, "Dense", {"units": 4, "activation": "swish"}),
    *(
        (
            shape,
            own.convolution,
            (4, kernel),
            {"strides": strides, "padding": padding, "activation": "tanh", "use_bias": bias},
            f"Conv{len(shape) - 1}D",
            {
                "filters": 4,
                "kernel_size": kernel,
                "strides": strides,
                "padding": padding,
                "activation": "tanh",
                "use_bias": bias,
            },
        )
        for shape, kernel, strides, padding, bias in [
            ((9, 2), 3, 1, "valid", True),
            ((9, 2), 4, 3, "same", False),
            ((9, 7, 2), (3, 2), 2, "valid", True),
            ((9, 7, 2), 5, (1, 2), "same", True),
            ((5, 4, 6, 2), 3, 1, "valid", True),
        ]
    ),
    *(
        (
            shape,
            function,
            (pool,),
            {"strides": strides, "padding": padding},
            f"{name}Pooling{len(shape) - 1}D",
            {"pool_size": pool, "strides": strides, "padding": padding},
        )
        for function, name in [(own.max_pooling, "Max"), (own.average_pooling, "Average")]
        for shape, pool, strides, padding in [
            ((9, 2), 2, None, "valid"),
            ((9, 2), 4, 3, "same"),
            ((9, 7, 2), (3, 2), None, "same"),
            ((9, 7, 2), 3, 1, "valid"),
            ((9, 7, 5, 2), 3, 2, "valid"),
        ]
    ),
    ((9, 2), own.global_average_pooling, (), {}, "GlobalAveragePooling1D", {}),
    ((9, 7, 2), own.global_average_pooling, (), {}, "GlobalAveragePooling2D", {}),
    ((9, 7, 5, 2), own.global_average_pooling, (), {}, "GlobalAveragePooling3D", {}),
    ((9, 7, 2), own.batch_normalization, (), {}, "BatchNormalization", {}),
    ((9, 7, 2), own.dropout, (0.25,), {}, "Dropout", {"rate": 0.25}),
    ((9, 7, 2), own.flatten, (), {}, "Flatten", {}),
    ((9, 4), own.reshape, ((6, 6),), {}, "Reshape", {"target_shape": (6, 6)}),
    ((9, 2), own.zero_padding, (0, 3), {}, "ZeroPadding1D", {"padding": (0, 3)}),
    ((9, 7, 2), own.zero_padding, (1, 1), {}, "ZeroPadding2D", {"padding": 1}),
    ((9, 7, 2), own.rescaling, (0.0,), {}, "Rescaling", {"scale": 0.0}),
    ((9, 2), own.activation, ("relu",), {}, "Activation", {"activation": "relu"}),
]


@pytest.mark.parametrize(("shape", "make", "args", "kwargs", "name", "config"), LAYERS)
def test_a_layer_is_the_one_that_keras_makes(shape, make, args, kwargs, name, config):
    import keras

    builder = GraphBuilder()
    tensor = make(builder, builder.input(shape), *args, **kwargs)
    graph = builder.build(tensor)
    x = keras.Input(shape)
    model = keras.Model(x, getattr(keras.layers, name)(**config)(x))
    assert tensor.shape == model.output_shape[1:]
    assert graph == ArchitectureGraph.from_keras(model)
    # What Keras writes of the graph's own model, word for word but for how it is run.
    written, of_keras = (
        json.loads(text)["config"]["layers"][-1]
        for text in (graph.to_json(), graph.to_keras().to_json())
    )
    for entry in (written, of_keras):
        entry["inbound_nodes"][0]["kwargs"].clear()
    assert written == of_keras


def test_what_has_no_output_is_impossible_for_a_reason_that_can_be_counted():
    builder = GraphBuilder()
    tensor = builder.input((4, 9, 2))
    for make, reason in [
        (lambda: own.max_pooling(builder, tensor, 6), "pool of 6 is larger than its input of 4"),
        (
            lambda: own.convolution(builder, tensor, 8, (3, 10)),
            "kernel of 10 is larger than its input of 9",
        ),
    ]:
        with pytest.raises(ImpossibleArchitectureError) as caught:
            make()
        assert caught.value.reason == str(caught.value) == reason
        assert pickle.loads(pickle.dumps(caught.value)).reason == reason
    assert own.max_pooling(builder, tensor, 6, padding="same").shape == (1, 2, 2)


@pytest.mark.parametrize("make", [own.flatten, own.global_average_pooling])
def test_a_vector_has_no_axis_to_pool_along(make):
    builder = GraphBuilder()
    if make is own.flatten:
        assert make(builder, builder.input((4,))).shape == (4,)
        return
    with pytest.raises(SpaceError, match="reshape the data"):
        make(builder, builder.input((4,)))
