"""Functions that build Keras models are search spaces, those of Keras Tuner unchanged."""

from pathlib import Path

import numpy as np
import pytest

from parsl_tl.architecture import ArchitectureGraph, longest_common_prefix
from parsl_tl.errors import ImpossibleArchitectureError, SpaceError
from parsl_tl.problems import Problem
from parsl_tl.search.admission import Admission
from parsl_tl.spaces import Head, choice_discovery, get_space
from parsl_tl.spaces.mutation import mutate, random_arch_seq, uniform_weights
from parsl_tl.spaces.registry import arguments_for

FILE = Path(__file__).with_name("hypermodels.py")
SHAPES = {"dense_model": (64,), "conv_model": (8, 8, 1), "build": (64,)}
CLASSES = Head(shape=(10,), activation="softmax")


class Undecided(Problem):
    name, output_shape = "undecided", (10,)

    def __init__(self, shape):
        super().__init__()
        self.input_shape = shape

    def _load(self):
        raise AssertionError("nobody needs its data")


def space_of(name, **kwargs):
    return get_space(f"{FILE}:{name}", **kwargs)


def sequence(space, **values):
    """Makes a sequence of values by the names of choices, of first ones otherwise."""
    return [
        choice.values.index(values.get(choice.name, choice.values[0])) for choice in space.choices()
    ]


def names_of(space):
    return [choice.name for choice in space.choices()]


def test_choices_are_found_in_the_order_of_the_layers():
    space = space_of("dense_model")
    assert names_of(space) == [
        *("num_layers", "units_0", "activation", "units_1", "units_2", "dropout", "lr")
    ]
    values = {choice.name: choice.values for choice in space.choices()}
    assert values["units_0"] == (32, 64, 96, 128)
    assert len(values["lr"]) == 10
    assert (values["lr"][0], values["lr"][-1]) == (1e-4, 1e-2)
    assert np.ptp(np.diff(np.log(values["lr"]))) < 1e-3
    assert names_of(space_of("conv_model")) == [
        *("model_type", "conv_blocks", "filters_0", "pooling", "pool_size", "filters_1"),
        *("dense", "optimizer", "momentum"),
    ]


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_not_active_changes_nothing(name):
    space, rng = space_of(name), np.random.default_rng(0)
    identify = Admission(space, Undecided(SHAPES[name])).identity
    num_built, reasons = 0, set()
    for _ in range(6):
        arch_seq = random_arch_seq(space, rng)
        canonical = space.canonical(arch_seq)
        assert identify(tuple(arch_seq)) == identify(tuple(canonical))
        assert space.active(canonical) == space.active(arch_seq)
        try:
            graph = space.build(arch_seq, SHAPES[name], CLASSES)
        except ImpossibleArchitectureError as error:
            reasons.add(error.reason)
            continue
        num_built += 1
        assert graph == space.build(canonical, SHAPES[name], CLASSES)
        assert space.training(arch_seq) == space.training(canonical)
        described = space.describe(arch_seq)
        for choice, active in zip(names_of(space), space.active(arch_seq), strict=True):
            assert (f"{choice} " in described) == active
    assert num_built > 1
    assert reasons <= {"pool is larger than its input"}


def test_an_inactive_choice_never_mutates():
    space, rng = space_of("conv_model"), np.random.default_rng(0)
    weights = uniform_weights(space)
    for _ in range(200):
        parent = random_arch_seq(space, rng)
        child = mutate(parent, space, rng, weights)
        changed = [a != b for a, b in zip(parent, child, strict=True)]
        assert sum(changed) == 1
        assert space.active(parent)[changed.index(True)]


def test_the_graph_is_that_of_the_model():
    import keras
    from keras import layers

    space = space_of("dense_model")
    arch_seq = sequence(space, num_layers=2, units_0=64, units_1=96, activation="tanh")
    model = keras.Sequential(
        [
            keras.Input((4, 16)),
            layers.Flatten(),
            layers.Dense(64, "tanh"),
            layers.Dense(96, "tanh"),
            layers.Dense(10, "softmax"),
        ]
    )
    assert space.build(arch_seq, (4, 16), CLASSES) == ArchitectureGraph.from_keras(model)


def test_what_a_model_is_compiled_with_is_no_part_of_it_but_of_its_training():
    space = space_of("dense_model")
    slow, fast = (sequence(space, lr=lr) for lr in (1e-4, 1e-2))
    assert space.build(slow, (64,), CLASSES) == space.build(fast, (64,), CLASSES)
    assert space.training(slow) == {"optimizer": "adam", "learning_rate": 1e-4}
    assert space.training(fast) == {"optimizer": "adam", "learning_rate": 1e-2}
    space = space_of("conv_model")
    assert space.training(sequence(space, optimizer="sgd", momentum=0.6)) == {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "optimizer_args": {"momentum": 0.6},
    }
    assert space_of("build").training(sequence(space_of("build"))) == {}


def test_what_a_choice_invalidates_follows_from_graphs():
    space = space_of("build")
    space.build(sequence(space), (64,), CLASSES)
    assert [space.invalidated(index) for index in range(4)] == [3, 2, 1, 0]


def test_arguments_of_the_function_are_arguments_of_the_space():
    assert len(space_of("build", depth=3).choices()) == 6
    space = space_of("HyperModel", classes=3)
    assert names_of(space) == ["units"]
    assert len(space.build([1], (64,), (3,))) == 3
    with pytest.raises(SpaceError, match=r"'dept'.*'depth'"):
        space_of("build", dept=3)
    with pytest.raises(SpaceError, match="class"):
        space_of("HyperModel", clases=3)


def test_inputs_are_what_the_problem_has():
    assert names_of(space_of("images")) == ["filters"]
    space = space_of("two_inputs")
    graph = space.build([0], {"right": (4,), "left": (3,)}, [CLASSES, Head(shape=(1,), name="age")])
    assert graph.input_structure == {"left": 0, "right": 1}
    assert len(graph.outputs) == 2
    space = space_of("two_ends")
    graph = space.build([0, 1], (4,), [CLASSES, Head(shape=(1,), name="age")])
    assert len(graph) == 5
    with pytest.raises(SpaceError, match="gives 2 tensors for 3 heads"):
        space.build([0, 1], (4,), [Head(shape=(1,), name=name) for name in "abc"])
    with pytest.raises(SpaceError, match="input_shape"):
        space_of("volumes")
    space = space_of("volumes", input_shape=(8, 8, 8, 1))
    assert len(space.build([0], (6, 6, 6, 2), (1,))) == 4


def test_a_problem_tells_a_function_its_shape():
    name = f"{FILE}:build"
    assert arguments_for(name, {"depth": 3}, (5,)) == {"depth": 3, "input_shape": (5,)}
    assert arguments_for(name, {"input_shape": (7,)}, (5,)) == {"input_shape": (7,)}
    assert arguments_for(f"{FILE}:dense_model", {}, (5,)) == {}  # makes its own input
    assert arguments_for("feed-forward", {"num_layers": 3}, (5,)) == {"num_layers": 3}
    shapes = {"right": [4], "left": [3]}
    assert names_of(space_of("two_inputs", input_shape=shapes)) == ["units"]


def test_looking_for_choices_is_told_if_it_takes_long(monkeypatch, capsys):
    monkeypatch.setattr(choice_discovery, "_SECONDS_BETWEEN_LINES", 0.0)
    space_of("build", depth=1)
    assert "Looking for the choices of hypermodels:build: run 2, 2 found" in capsys.readouterr().err


def test_values_that_a_function_fails_with_are_told():
    with pytest.warns(RuntimeWarning, match=r"fails with \{'axis': 7\}: \w+Error"):
        assert names_of(space_of("fails_later")) == ["axis", "units"]


def test_what_only_comes_with_several_values_is_found():
    space = space_of("deep")
    assert names_of(space) == ["more", "even_more", "units"]
    assert space.active([1, 0, 2]) == [True, True, False]
    assert space.canonical([0, 1, 2]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "asks hp for nothing"),
        ("fails", "fails with the defaults .* KeyError: 4"),
        ("lists", r"returns a dict; it must return head\(x\)"),
    ],
)
def test_functions_that_are_no_space(name, told):
    with pytest.raises(SpaceError, match=told):
        space_of(name)


def test_a_function_that_never_stops_asking_is_refused(monkeypatch):
    monkeypatch.setattr(choice_discovery, "_MAX_CHOICES", 20)
    with pytest.raises(SpaceError, match="more than 20 choices"):
        space_of("restless")
    monkeypatch.setattr(choice_discovery, "_MAX_RUNS", 10)
    with pytest.raises(SpaceError, match="was run 10 times"):
        space_of("restless")


def test_a_model_of_other_shapes_than_the_problem_is_refused():
    space = space_of("conv_model")
    with pytest.raises(SpaceError, match=r"takes the shapes \(8, 8, 1\), .* are \(28, 28, 1\)"):
        space.build(sequence(space), (28, 28, 1), CLASSES)
    with pytest.raises(SpaceError, match=r"gives the shapes \(10,\), .* are \(2,\)"):
        space.build(sequence(space), (8, 8, 1), (2,))


def test_a_function_tells_what_cannot_exist():
    space = space_of("refuses")
    with pytest.raises(ImpossibleArchitectureError, match="left is above right"):
        space.build([2, 0], (4,), (1,))
    one, other = space.build([0, 1], (4,), (1,)), space.build([0, 2], (4,), (1,))
    assert len(longest_common_prefix(one, other)) == 1
