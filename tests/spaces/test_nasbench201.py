"""NAS-Bench-201: architecture strings in both directions, and its known networks."""

import pytest

from parsl_tl.architecture.parameter_count import parameter_count
from parsl_tl.errors import SpaceError
from parsl_tl.spaces import get_space

SPACE = get_space("nasbench201")
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|{}~2|"


def test_every_architecture_has_a_string_of_its_own():
    strings = set()
    for number in range(5**6):
        arch_seq = [number // 5**i % 5 for i in range(6)]
        text = SPACE.arch_str(arch_seq)
        assert SPACE.arch_seq_of(text) == arch_seq
        strings.add(text)
    assert len(strings) == 15_625


def test_a_string_as_it_is_published():
    text = BEST.format("nor_conv_3x3")
    assert SPACE.arch_seq_of(text) == [3, 3, 3, 1, 3, 3]
    assert SPACE.describe([3, 3, 3, 1, 3, 3]) == text


@pytest.mark.parametrize(
    "text",
    ["", "|none~0|", BEST.format("conv_5x5"), BEST.format("none")[:-1], BEST.replace("~1", "~0")],
)
def test_strings_that_are_no_architecture(text):
    with pytest.raises(SpaceError, match="is no architecture"):
        SPACE.arch_seq_of(text)


@pytest.mark.parametrize(
    ("operation", "published"),
    [("skip_connect", 73_306), ("nor_conv_1x1", 241_306), ("nor_conv_3x3", 1_531_546)],
)
def test_networks_have_the_published_numbers_of_weights(operation, published):
    edge = SPACE.choices()[0].values.index(operation)
    graph = SPACE.build([edge] * 6, (32, 32, 3), (10,), "softmax")
    weights = sum(parameter_count(layer) for layer in graph.layers)
    # The moving mean and variance of a normalization count in Keras alone.
    moving = sum(
        2 * layer.build_config["input_shape"][-1]
        for layer in graph.layers
        if layer.class_name == "BatchNormalization"
    )
    assert weights - moving == published


def test_a_node_that_nothing_comes_into_is_zero():
    space = get_space("nasbench201", num_cells=1, channels=4)
    none, skip = space.arch_seq_of("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"), [1] * 6
    classes = [layer.class_name for layer in space.build(none, (8, 8, 3), (2,)).layers]
    assert classes.count("Rescaling") == 3  # the output of each cell; no other node is needed
    classes = [layer.class_name for layer in space.build(skip, (8, 8, 3), (2,)).layers]
    assert "Rescaling" not in classes


def test_an_image_goes_in():
    with pytest.raises(SpaceError, match="takes one image"):
        SPACE.build([0] * 6, (64,), (2,))
