"""Hyperparameters beside a space of architectures."""

from pathlib import Path

import pytest

from parsl_tl.errors import SpaceError
from parsl_tl.spaces import WithHyperparameters, get_space

VALUES = {"learning_rate": [1e-4, 1e-3], "batch_size": [32, 64], "optimizer": ["adam", "sgd"]}


def test_they_are_chosen_beside_the_architecture():
    inner = get_space("feed-forward", num_layers=2)
    space = WithHyperparameters(inner, VALUES)
    space.check_choices()
    assert space.name == inner.name
    assert space.size() == inner.size() * 8
    assert [choice.name for choice in space.choices()] == ["layer_0", "layer_1", *VALUES]
    one, other = [3, 4, 0, 1, 0], [3, 4, 1, 0, 1]
    assert space.training(one) == {
        "learning_rate": 1e-4,
        "batch_size": 64,
        "optimizer": "adam",
    }
    graph = inner.build([3, 4], (5,), (1,))
    assert space.build(one, (5,), (1,)) == space.build(other, (5,), (1,)) == graph
    assert [space.invalidated(index) for index in range(5)] == [1, 0, 0, 0, 0]
    assert space.active(one) == [True] * 5
    assert space.describe(other) == (
        f"{inner.describe([3, 4])}, learning_rate 0.001, batch_size 32, optimizer sgd"
    )


def test_what_the_space_says_of_training_stays():
    file = Path(__file__).with_name("hypermodels.py")
    inner = get_space(f"{file}:dense_model")
    space = WithHyperparameters(inner, {"batch_size": [8, 16]})
    arch_seq = [0] * len(inner.choices())
    assert space.builds_keras_models
    assert space.training([*arch_seq, 1]) == {
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "batch_size": 16,
    }
    assert space.canonical([0, 1, 0, 2, 3, 0, 0, 1]) == [0, 1, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "no hyperparameters"),
        ({"batch_size": []}, "has the values"),
        ({"batch_size": 32}, "has the values 32"),
        ({"optimizer": "adam"}, "has the values 'adam'"),
        ({"batch_size": [32, 32]}, "different"),
        ({"batch_size": [None]}, "has the values"),
        ({"layer_1": [1, 2]}, "is a choice of space 'feed-forward'"),
    ],
)
def test_hyperparameters_that_leave_nothing(values, told):
    with pytest.raises(SpaceError, match=told):
        WithHyperparameters(get_space("feed-forward", num_layers=2), values)


def test_sequences_that_do_not_fit():
    space = WithHyperparameters(get_space("feed-forward", num_layers=2), VALUES)
    for arch_seq in ([0, 0], [0, 0, 2, 0, 0]):
        with pytest.raises(SpaceError):
            space.build(arch_seq, (5,), (1,))
