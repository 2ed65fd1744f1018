"""Heads: outputs of networks, on graphs and with Keras; and spaces that were written before."""

import pytest

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.errors import SpaceError
from parsl_tl.spaces import (
    Choice,
    FeedForwardSpace,
    Head,
    SearchSpace,
    add_heads,
    apply_heads,
    get_space,
)

CLASSES = Head(shape=(3,), activation="softmax", name="kind", loss="categorical_crossentropy")
NUMBER = Head(shape=(1,), name="age", hidden=((8, "relu"), (4, "tanh")))
MASK = Head(shape=(6, 6, 1), activation="sigmoid", name="mask")


@pytest.mark.parametrize(
    ("shape", "heads"),
    [
        ((5,), [CLASSES]),
        ((5,), [CLASSES, NUMBER]),
        ((4, 4, 2), [NUMBER]),
        ((7, 3), [CLASSES, NUMBER]),
        ((6, 6, 2), [MASK]),
        ((6, 6, 2), [CLASSES, MASK, NUMBER]),
    ],
)
def test_graphs_and_keras_models_get_the_same_heads(shape, heads):
    import keras

    builder = GraphBuilder()
    outputs = add_heads(builder, builder.input(shape), heads)
    assert [tensor.shape for tensor in outputs] == [head.shape for head in heads]
    graph = builder.build(outputs)
    x = keras.Input(shape)
    assert graph == ArchitectureGraph.from_keras(keras.Model(x, apply_heads(x, heads)))


def test_each_head_may_have_a_body_of_its_own():
    builder = GraphBuilder()
    bodies = [builder.input((4,)), builder.input((9,))]
    outputs = add_heads(builder, bodies, [CLASSES, NUMBER])
    assert [tensor.shape for tensor in outputs] == [(3,), (1,)]
    with pytest.raises(SpaceError, match="gives 2 tensors for 3 heads"):
        add_heads(builder, bodies, [CLASSES, NUMBER, MASK])


def test_a_mask_cannot_be_made_of_a_vector():
    builder = GraphBuilder()
    with pytest.raises(SpaceError, match=r"\(4,\), of which head 'mask' cannot make \(6, 6, 1\)"):
        add_heads(builder, builder.input((4,)), [MASK])


@pytest.mark.parametrize("shape", [(), (0,), ("x",), "x", (True,), None])
def test_a_head_has_a_shape(shape):
    with pytest.raises(SpaceError, match="output shape"):
        Head(shape=shape)


def test_heads_have_names_of_their_own():
    with pytest.raises(SpaceError, match="two heads are called 'kind'"):
        get_space("feed-forward", num_layers=1).build([1], (3,), [CLASSES, CLASSES])
    with pytest.raises(SpaceError, match="stands among heads"):
        get_space("feed-forward", num_layers=1).build([1], (3,), [CLASSES, (1,)])


def test_units_and_an_activation_are_one_head():
    space = get_space("feed-forward", num_layers=1)
    one = space.build([1], (4,), (3,), "softmax")
    assert one == space.build([1], (4,), CLASSES)
    assert one == space.build([1], (4,), [CLASSES])
    assert len(space.build([1], (4,), [CLASSES, NUMBER]).outputs) == 2


def test_inputs_may_have_names():
    import keras

    space = get_space("feed-forward", num_layers=1)
    graph = space.build([1], {"b": (4,), "a": (3,)}, (1,))
    assert graph.input_structure == {"a": 0, "b": 1}
    assert graph != space.build([1], [(3,), (4,)], (1,))
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((4,), name="b")}
    x = keras.layers.Concatenate()(list(inputs.values()))
    x = keras.layers.Dense(16)(x)
    assert graph == ArchitectureGraph.from_keras(keras.Model(inputs, keras.layers.Dense(1)(x)))
    with pytest.raises(SpaceError, match="names of inputs"):
        space.build([1], {3: (4,)}, (1,))


class Plain(SearchSpace):
    """A space without any method that need not be there."""

    name = "plain"

    def choices(self):
        return [Choice(name, (4, 8, 12, 16)) for name in ("left", "right", "top")]

    def assemble(self, labels, inputs, heads):
        from parsl_tl.spaces.keras_layers import concatenate, dense

        builder = GraphBuilder()
        tensor = builder.input(inputs[0])
        towers = [dense(builder, tensor, units, "relu") for units in labels[:2]]
        top = dense(builder, concatenate(builder, towers), labels[2], "relu")
        return builder.build(add_heads(builder, top, heads))


def test_what_a_choice_invalidates_follows_from_graphs():
    space = Plain()
    assert [space.invalidated(index) for index in range(3)] == [2, 1, 0]  # nothing is known
    space.build([0, 1, 0], (3,), (1,))
    # The right tower does not stand on the left one.
    assert [space.invalidated(index) for index in range(3)] == [1, 1, 0]


@pytest.mark.parametrize("name", ["feed-forward", "dense-skip"])
def test_what_follows_from_graphs_is_what_the_spaces_say(name):
    space = get_space(name, num_layers=3, units=(4, 8, 1), activations=["relu", "tanh"])
    space.build([1] * len(space.choices()), (3,), (1,))
    for index, choice in enumerate(space.choices()):
        if choice.name.startswith("layer"):
            assert SearchSpace.invalidated(space, index) == space.invalidated(index)


def test_all_choices_are_active_and_say_nothing_of_training():
    space = get_space("feed-forward", num_layers=2)
    assert space.active([1, 2]) == [True, True]
    assert space.canonical([1, 2]) == [1, 2]
    assert space.training([1, 2]) == {}


class Before(FeedForwardSpace):
    """Written for the parameters of earlier releases."""

    name = "before"

    def assemble(self, labels, input_shapes, units, output_activation):
        return super().assemble(labels[::-1], input_shapes, units, output_activation)


def test_spaces_that_were_written_before_go_on_with_a_warning():
    space = Before(num_layers=2)
    with pytest.warns(FutureWarning, match="write assemble"):
        graph = space.build([1, 2], (4,), (3,), "softmax")
    assert graph == FeedForwardSpace(num_layers=2).build([2, 1], (4,), CLASSES)


@pytest.mark.parametrize("heads", [[CLASSES, NUMBER], NUMBER, MASK])
def test_what_the_old_parameters_cannot_tell_is_refused(heads):
    with pytest.raises(SpaceError, match="cannot tell the outputs"):
        Before(num_layers=2).build([1, 2], (4,), heads)
