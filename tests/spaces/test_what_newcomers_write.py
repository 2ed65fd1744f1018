"""Spaces that return something else than they should, and Keras models, which are as good."""

from typing import ClassVar

import pytest

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import SpaceError
from parsl_tl.spaces import Choice, SearchSpace, apply_heads, get_space


class Custom(SearchSpace):
    name = "custom-space"
    built: ClassVar = None
    listed: ClassVar = [Choice("units", (4, 8)), Choice("depth", (1, 2, 3))]

    def choices(self):
        return self.listed() if callable(self.listed) else self.listed

    def invalidated(self, choice_index):
        return 1 - choice_index

    def assemble(self, labels, inputs, heads):
        return self.built if self.built != "raise" else labels[7]


class OfKeras(Custom):
    def assemble(self, labels, inputs, heads):
        import keras

        x = start = keras.Input(inputs[0])
        for _ in range(labels[1]):
            x = keras.layers.Dense(labels[0], activation="relu")(x)
        return keras.Model(start, apply_heads(x, heads))


def test_a_keras_model_is_read_as_a_graph():
    space = OfKeras()
    one, same, other = (space.build(seq, (3,), (2,)) for seq in ([1, 2], [1, 2], [1, 1]))
    assert isinstance(one, ArchitectureGraph)
    assert one.layer_names == same.layer_names
    assert len(one) == 5
    assert set(other.layer_names[:-1]) < set(one.layer_names)


@pytest.mark.parametrize(
    ("built", "told"),
    [
        (None, "gives a NoneType; it must return an ArchitectureGraph .* or a keras.Model"),
        ({"layers": 3}, "gives a dict"),
        ("raise", r"cannot build \[0, 0\]: IndexError"),
    ],
)
def test_what_is_no_graph_is_told(built, told):
    space = type("Made", (Custom,), {"built": built})()
    with pytest.raises(SpaceError, match=told):
        space.build([0, 0], (3,), (2,))


def failing():
    raise KeyError("units")


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ([], "give a list of Choice"),
        (None, "give a list of Choice"),
        ([("units", (1, 2))], "must be a Choice"),
        ([Choice("units", ())], "one value at least"),
        ([Choice("a", (1,)), Choice("a", (2,))], "two choices called 'a'"),
        (staticmethod(failing), "KeyError: 'units'"),
    ],
)
def test_choices_are_checked_when_a_space_is_made(listed, told, monkeypatch):
    import parsl_tl.spaces as anywhere

    made = type("Made", (Custom,), {"listed": listed})
    monkeypatch.setattr(anywhere, "_under_test", made, raising=False)
    with pytest.raises(SpaceError, match=told):
        get_space("parsl_tl.spaces:_under_test")
