import json
import random

import pytest

from parsl_tl.architecture import longest_common_prefix
from parsl_tl.errors import SpaceError
from parsl_tl.spaces import (
    Choice,
    DenseSkipSpace,
    FeedForwardSpace,
    SearchSpace,
    get_space,
)

TABULAR = ("dense-skip", "feed-forward")


def random_arch(space, rng):
    return [rng.randrange(len(choice.values)) for choice in space.choices()]


def test_sizes_of_the_published_synthetic_spaces():
    space = get_space("dense-skip", num_layers=10)
    sizes = [len(choice.values) for choice in space.choices()]
    assert len(sizes) == 37
    assert sizes.count(31) == 10
    assert sizes.count(2) == 27
    assert space.size() == 31**10 * 2**27
    assert get_space("feed-forward", units=(1, 4, 1), activations=["relu"]).size() == 5**10


@pytest.mark.parametrize("name", TABULAR)
def test_the_json_is_layer_by_layer_what_keras_writes(name):
    space, rng = get_space(name), random.Random(0)
    for _ in range(12):
        graph = space.build(random_arch(space, rng), (64,), (10,), "softmax")
        own = json.loads(graph.to_json())["config"]
        keras = json.loads(graph.to_keras().to_json())["config"]
        for part in ("layers", "input_layers", "output_layers"):
            assert own[part] == keras[part]


@pytest.mark.parametrize("name", TABULAR)
def test_a_choice_invalidates_what_it_says(name):
    """Every choice keeps what comes before it; one that invalidates more never keeps more."""
    space = get_space(name, num_layers=3, units=(4, 6, 1), activations=["relu", "tanh"])
    choices = space.choices()
    base = [1] * len(choices)
    graph = space.build(base, (3,), (2,))
    kept = []
    for index in range(len(choices)):
        changed = list(base)
        changed[index] = 0 if len(choices[index].values) == 2 else 2
        other = space.build(changed, (3,), (2,))
        kept.append((space.invalidated(index), len(longest_common_prefix(other, graph))))
    by_layer = [item for item, choice in zip(kept, choices, strict=True) if "layer" in choice.name]
    assert by_layer == sorted(by_layer, key=lambda item: -item[0])
    assert [count for _, count in by_layer] == sorted(count for _, count in by_layer)


def test_anchors_are_projected_added_and_activated():
    space = DenseSkipSpace(num_layers=2, units=(8, 8, 1), activations=["tanh"])
    names = [choice.name for choice in space.choices()]
    assert names == ["layer_0", "skip_0_1", "layer_1", "skip_1_1", "skip_1_2"]

    def classes(arch):
        return [layer.class_name for layer in space.build(arch, (3,), (2,)).layers]

    assert classes([0, 0, 0, 0, 0]) == ["InputLayer", "Dense"]
    assert classes([1, 0, 1, 0, 0]) == ["InputLayer", "Dense", "Dense", "Dense"]
    skip = space.build([1, 0, 1, 0, 1], (3,), (2,))
    assert [layer.class_name for layer in skip.layers] == [
        *("InputLayer", "Dense", "Dense", "Dense", "Add", "Activation", "Dense")
    ]
    projection = skip.layers[3]
    assert projection.config["units"] == 8
    assert projection.config["activation"] == "linear"
    assert projection.calls[0].inputs[0].layer == 0  # anchor 2 of layer 1 is the input


def test_several_inputs_are_concatenated():
    graph = get_space("feed-forward", num_layers=2).build([1, 1], [(3,), (4,)], (1,))
    assert len(graph.inputs) == 2
    assert graph.layers[2].class_name == "Concatenate"


@pytest.mark.parametrize("arch", [[], [0] * 4, [0, 0, 0, -1, 0], [31, 0, 0, 0, 0], [0.5] * 5])
def test_sequences_that_do_not_fit(arch):
    with pytest.raises(SpaceError, match="dense-skip"):
        DenseSkipSpace(num_layers=2).build(arch, (3,), (2,))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [((), (1,)), ((8, 8), (1,)), ((0,), (1,)), ("x", (1,)), ((3,), ()), ((3,), (0,)), ([], (1,))],
)
def test_shapes_that_do_not_fit(inputs, outputs):
    with pytest.raises(SpaceError, match="shape"):
        get_space("feed-forward", num_layers=1).build([1], inputs, outputs)


@pytest.mark.parametrize(
    "kwargs",
    [{"num_layers": 0}, {"units": (5, 1, 1)}, {"units": 3}, {"activations": ["x"]}, {"nope": 1}],
)
def test_arguments_that_leave_nothing(kwargs):
    with pytest.raises(SpaceError):
        get_space("dense-skip", **kwargs)


@pytest.mark.parametrize("name", ["nope", "no.such.module:X", "json:dumps", "json:nope"])
def test_names_that_are_no_space(name):
    with pytest.raises(SpaceError):
        get_space(name)


def test_a_space_of_somebody_elses():
    space = get_space("parsl_tl.spaces.feed_forward:FeedForwardSpace", num_layers=2)
    assert space.choices()[1] == Choice("layer_1", space.choices()[0].values)


def test_deephyper_samples_sequences_of_the_space():
    space = get_space("dense-skip", num_layers=2)
    for sample in space.problem().space.sample_configuration(20):
        space.check([sample[choice.name] for choice in space.choices()])


def test_an_architecture_is_told_in_a_line():
    chain = get_space("feed-forward", num_layers=3, units=(4, 8, 4), activations=["relu"])
    assert chain.labels([1, 0, 2]) == ["4 relu", "identity", "8 relu"]
    assert chain.describe([1, 0, 2]) == "4 relu, 8 relu"
    assert chain.describe([0, 0, 0]) == "no hidden layer"
    skip = get_space("dense-skip", num_layers=3, units=(4, 8, 4), activations=["relu"])
    names = [choice.name for choice in skip.choices()]
    assert names == [
        *("layer_0", "skip_0_1"),
        *("layer_1", "skip_1_1", "skip_1_2"),
        *("layer_2", "skip_2_1", "skip_2_2", "skip_2_3"),
    ]
    assert skip.describe([1, 0, 0, 0, 0, 2, 1, 0, 1]) == "4 relu, 8 relu +2"
    assert skip.describe([1, 0, 0, 1, 0, 0, 0, 0, 0]) == "4 relu, identity +1"
    with pytest.raises(SpaceError):
        chain.describe([1, 0])


def test_other_spaces_tell_every_choice():
    class Custom(FeedForwardSpace):
        describe = SearchSpace.describe

    assert Custom(2, (4, 4, 1), ["relu"]).describe([1, 0]) == "layer_0 4 relu, layer_1 identity"
