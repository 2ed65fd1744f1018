"""Declared spaces: nodes, skips, merges, and what is refused."""

import pytest

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import ImpossibleArchitectureError, SpaceError
from parsl_tl.spaces import Head
from parsl_tl.spaces.declared import Node, Nodes, Skip
from parsl_tl.spaces.operations import (
    Activation,
    AveragePooling,
    BatchNormalization,
    Chain,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    Identity,
    MaxPooling,
    ZeroPadding,
)

CLASSES = Head(shape=(3,), activation="softmax")
IMAGES = Nodes(
    [
        Node("conv", [Conv(4, 3, "relu"), Conv(8, 3, "relu", strides=2), Identity()]),
        Node("norm", [Identity(), BatchNormalization()]),
        Node("pool", [MaxPooling(2), AveragePooling(3, strides=1, padding="same")]),
        Node("end", [Flatten(), GlobalAveragePooling()]),
        Node("dense", [Chain((Dense(5), Activation("relu"), Dropout(0.5))), Identity()]),
    ]
)


def test_graphs_are_those_of_keras_models():
    import keras
    from keras import layers

    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.5)(layers.Activation("relu")(layers.Dense(5)(x)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    graph = IMAGES.build([1, 1, 1, 0, 0], (8, 8, 3), CLASSES)
    assert graph == ArchitectureGraph.from_keras(model)


def test_one_alternative_is_no_choice_and_choices_are_told():
    space = Nodes([Node("pad", [ZeroPadding(1, 1)]), *IMAGES.nodes])
    assert [choice.name for choice in space.choices()] == ["conv", "norm", "pool", "end", "dense"]
    assert space.choices()[0].values == (
        *("conv 4 kernel 3 relu", "conv 8 kernel 3 relu strides 2", "identity"),
    )
    assert space.size() == 3 * 2 * 2 * 2 * 2
    assert space.describe([2, 0, 1, 1, 1]) == (
        "pool average pool 3 strides 1 same, end global average pool"
    )
    assert len(space.build([0, 0, 0, 0, 1], (8, 8, 3), CLASSES)) == 6


def test_what_cannot_exist_is_told_by_its_reason():
    with pytest.raises(ImpossibleArchitectureError, match="kernel of 3 is larger than its input"):
        IMAGES.build([0, 0, 0, 0, 0], (2, 2, 3), CLASSES)
    added = Nodes(
        [
            Node("left", [Conv(4, 3), Conv(4, 5)], ("input_0",)),
            Node("right", [Conv(4, 3, "relu")], ("input_0",)),
            Node("sum", inputs=("left", "right"), merge="add"),
        ]
    )
    assert len(added.build([0], (8, 8, 1), CLASSES)) == 6
    with pytest.raises(ImpossibleArchitectureError, match="addition of tensors of different"):
        added.build([1], (8, 8, 1), CLASSES)


def test_shorter_vectors_are_added_with_zeros():
    space = Nodes(
        [
            Node("wide", [Dense(8), Dense(3)]),
            Node("sum", inputs=("wide", "input_0"), merge="add"),
        ]
    )
    model = space.build([0], (3,), (1,)).to_keras()
    # Of the sum, whose last values are those of the wide layer alone.
    assert [tuple(layer.output.shape) for layer in model.layers if "Add" in layer.name] == [
        (None, 8)
    ]
    assert len(space.build([1], (3,), (1,))) == 4  # nothing to pad


def test_skips_are_projected_added_and_activated():
    space = Nodes(
        [
            Node("first", [Dense(4), Identity()]),
            Node("second", [Dense(8), Dense(6)]),
            Skip("skip", ("input_0", "first")),
            Node("last", [Identity(), Dense(2)]),
        ]
    )
    assert [choice.name for choice in space.choices()] == [
        *("first", "second", "skip_input_0", "skip_first", "last")
    ]
    classes = [layer.class_name for layer in space.build([0, 0, 1, 0, 0], (3,), (1,)).layers]
    assert sorted(classes) == [*("Activation", "Add"), *4 * ["Dense"], "InputLayer"]
    assert len(space.build([0, 0, 0, 0, 0], (3,), (1,))) == 4
    assert [space.invalidated(index) for index in range(5)] == [4, 3, 1, 1, 0]
    assert (
        space.describe([0, 1, 0, 1, 0]) == "first dense 4 linear, second dense 6 linear, skip_first"
    )


def test_each_head_may_have_a_node():
    space = Nodes(
        [
            Node("body", [Dense(4), Dense(8)]),
            Node("left", [Dense(3), Dense(5)], ("body",)),
            Node("right", [Dense(3), Dense(5)], ("body",)),
        ],
        outputs=("left", "right"),
    )
    graph = space.build([0, 0, 1], (3,), [CLASSES, Head(shape=(1,), name="age")])
    assert len(graph.outputs) == 2
    assert space.invalidated(0) == 2
    assert space.invalidated(1) == 0


@pytest.mark.parametrize(
    ("nodes", "kwargs", "told"),
    [
        ([], {}, "has no nodes"),
        ([Node("a"), Node("a")], {}, "needs a name that no other node"),
        ([Node("input_0")], {}, "needs a name"),
        ([Node("a", [])], {}, "one or more that differ"),
        ([Node("a", [Dense(3), Dense(3)])], {}, "one or more that differ"),
        ([Node("dense"), Node("b", inputs=("dens",))], {}, r"'dens', which .* 'dense'"),
        ([Node("a", inputs=("input_x",))], {}, "input_0"),
        ([Node("a", merge="multiply")], {}, "choose concatenate or add"),
        ([Node("a")], {"outputs": ["b"]}, "output 'b'"),
        ([Skip("a", ("input_0",))], {}, "a node before it"),
        ([Node("a"), Skip("b", ())], {}, "give sources"),
    ],
)
def test_declarations_that_make_no_network(nodes, kwargs, told):
    with pytest.raises(SpaceError, match=told):
        Nodes(nodes, **kwargs)
