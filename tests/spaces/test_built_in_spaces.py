"""Built-in spaces have their published sizes, and all of their networks can be built."""

from collections import Counter

import numpy as np
import pytest
from built_in_spaces import BUILT_IN, MASK

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.parameter_count import parameter_count
from parsl_tl.errors import ImpossibleArchitectureError, SpaceError
from parsl_tl.spaces import SearchSpace, get_space, list_spaces
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.spaces.shapes import input_shapes

IMPOSSIBLE = {"nt3-small-few-genes", "lenet-tiny-images"}
TRAINED = (
    *("combo", "uno", "nt3-small", "nt3-large", "lenet"),
    *("conv-cells", "conv-cells-mask", "nasbench201"),
)


@pytest.mark.parametrize(
    ("name", "kwargs", "size", "num_choices"),
    [
        ("nt3", {"size": "small"}, 624_000, 8),
        ("nt3", {"size": "large"}, 13_608_000, 10),
        ("dense-skip", {"subnetworks": True, "size": "small"}, 391**6 * 2**12, 18),
        ("dense-skip", {"subnetworks": True, "size": "large"}, 151**6 * 2**12, 18),
        (
            "dense-skip",
            {"subnetworks": True, "size": "small", "num_inputs": 3},
            391**12 * 2**24,
            36,
        ),
        (
            "dense-skip",
            {"subnetworks": True, "size": "large", "num_inputs": 3},
            151**12 * 2**24,
            36,
        ),
        ("dense-skip", {"num_layers": 10}, 31**10 * 2**27, 37),
        ("feed-forward", {"units": (1, 4, 1), "activations": ["relu"]}, 5**10, 10),
        ("uno", {}, 13**12, 12),
        ("nasbench201", {}, 15_625, 6),
        ("lenet", {}, 518_400, 6),
        ("conv-cells", {}, (6 * 6 * 2 * 3) ** 3, 12),
        ("one-layer", {}, 31, 1),
    ],
)
def test_sizes(name, kwargs, size, num_choices):
    space = get_space(name, **kwargs)
    assert space.size() == size
    assert len(space.choices()) == num_choices


def test_every_built_in_space_is_tested():
    assert {name for name, *_ in BUILT_IN.values()} == set(list_spaces())


@pytest.mark.parametrize("key", BUILT_IN)
def test_random_architectures_are_built(key):
    name, kwargs, shape, heads = BUILT_IN[key]
    space, rng = get_space(name, **kwargs), np.random.default_rng(0)
    reasons: Counter[str] = Counter()
    for _ in range(50):
        arch_seq = random_arch_seq(space, rng)
        assert space.canonical(arch_seq) == arch_seq
        assert space.describe(arch_seq)
        try:
            graph = space.build(arch_seq, shape, heads)
        except ImpossibleArchitectureError as error:
            reasons[error.reason] += 1
            continue
        assert len(graph.inputs) == len(input_shapes(shape))
        assert len(graph.outputs) == len(heads)
    assert bool(reasons) == (key in IMPOSSIBLE)
    assert reasons.total() < 50
    assert all("larger than its input of" in reason for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("key", TRAINED)
def test_keras_builds_the_same_network_and_trains_it(key):
    name, kwargs, shape, heads = BUILT_IN[key]
    space, rng = get_space(name, **kwargs), np.random.default_rng(1)
    for _ in range(2):
        graph = space.build(random_arch_seq(space, rng), shape, heads)
        model = graph.to_keras()
        assert ArchitectureGraph.from_keras(model) == graph
        assert [tensor.shape for tensor in model.outputs] == [(None, *h.shape) for h in heads]
        counts = [parameter_count(layer) for layer in graph.layers]
        assert None not in counts
        assert sum(counts) == model.count_params()
        # One step does not pay for tracing a graph.
        model.compile("adam", loss=[head.loss for head in heads], run_eagerly=True)
        x = [rng.random((4, *one), np.float32) for one in input_shapes(shape)]
        y = [
            np.zeros((4, 1)) if "sparse" in head.loss else np.zeros((4, *head.shape))
            for head in heads
        ]
        assert np.all(np.isfinite(model.train_on_batch(x if len(x) > 1 else x[0], y)))


@pytest.mark.parametrize("key", ["combo-small", "uno", "conv-cells", "nt3-small", "lenet"])
def test_what_a_choice_invalidates_follows_from_its_graphs(key):
    name, kwargs, shape, heads = BUILT_IN[key]
    space = get_space(name, **kwargs)
    space.build([1] * len(space.choices()), shape, heads)
    # In graphs, a skip connection that is not there cannot be told from what comes next.
    layers = [i for i, choice in enumerate(space.choices()) if "skip" not in choice.name]
    said = [space.invalidated(index) for index in layers]
    found = [SearchSpace.invalidated(space, index) for index in layers]
    # What it says, it says for the worst case: graphs show it, or somewhat less.
    assert all(a >= b for a, b in zip(said, found, strict=True))
    assert sum(found) > 0.6 * sum(said)


def test_subnetworks_need_the_number_of_inputs():
    space = get_space("dense-skip", subnetworks=True, num_inputs=2, units=(4, 8, 4))
    arch_seq = [1] * len(space.choices())
    assert space.describe(arch_seq) == "4 linear +1, 4 linear +2, 4 linear +3" + 2 * (
        "; 4 linear +1, 4 linear +2, 4 linear +3"
    )
    with pytest.raises(SpaceError, match="give num_inputs=1"):
        space.build(arch_seq, (5,), (1,))
    with pytest.raises(SpaceError, match="num_inputs=0"):
        get_space("dense-skip", subnetworks=True, num_inputs=0)
    with pytest.raises(SpaceError, match="leave one out"):
        get_space("dense-skip", size="small", units=(4, 8, 4))
    with pytest.raises(SpaceError, match="choose from small, large"):
        get_space("nt3", size="huge")


def test_uno_needs_four_inputs():
    space = get_space("uno")
    with pytest.raises(SpaceError, match="takes in 'input_1', but the problem has 1 input,"):
        space.build([0] * 12, (10,), (1,))


def test_a_mask_needs_images_of_its_size():
    space = get_space("conv-cells", num_cells=1)
    pooled = [0, 0, 0, 1]
    with pytest.raises(SpaceError, match=r"\(6, 6, 16\), of which head 'mask' cannot make"):
        space.build(pooled, (12, 12, 3), MASK)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("conv-cells", {"num_cells": 0}), ("nasbench201", {"channels": 0})],
)
def test_arguments_that_leave_nothing(name, kwargs):
    with pytest.raises(SpaceError, match="at least 1"):
        get_space(name, **kwargs)
