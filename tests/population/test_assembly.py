"""Graphs and JSON that are assembled array by array are those that the space builds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl.errors import PopulationError, SpaceError
from parsl_tl.population import assembler_for
from parsl_tl.population.dense_assembly import DenseAssembler
from parsl_tl.population.draws import random_sequences
from parsl_tl.population.graph_assembly import GraphAssembler
from parsl_tl.spaces import DenseSkipSpace, FeedForwardSpace, get_space


def sizes_of(space):
    return [len(choice.values) for choice in space.choices()]


@st.composite
def spaces(draw):
    num_layers = draw(st.integers(1, 12))
    first = draw(st.integers(1, 40))
    units = (first, first + draw(st.integers(0, 60)), draw(st.integers(1, 20)))
    activations = draw(st.sampled_from([["relu"], ["linear", "swish"], ["tanh", "sigmoid"]]))
    if draw(st.booleans()):
        return DenseSkipSpace(num_layers, units, activations, draw(st.integers(1, 5)))
    return FeedForwardSpace(num_layers, units, activations)


@given(
    spaces(),
    st.sampled_from([(32,), (16,), [(3,), (4,)], [(5,), (5,), (1,)]]),
    st.sampled_from([((1,), "linear"), ((3,), "softmax")]),
    st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_both_ways_give_the_same_bytes(space, input_shape, output, seed):
    fast = assembler_for(space, input_shape, *output)
    assert isinstance(fast, DenseAssembler)
    slow = GraphAssembler(space, input_shape, *output)
    sizes = sizes_of(space)
    rows = random_sequences(sizes, seed, 0, 8)
    # No layers at all, and everything that there is.
    rows = np.concatenate([rows, np.zeros_like(rows[:1]), [[size - 1 for size in sizes]]])
    # Templates are made when they are first needed, so a second call finds others known.
    fast.assemble_with_json(rows[:2])
    flat, text = fast.assemble_with_json(rows)
    expected, expected_text = slow.assemble_with_json(rows)
    assert text == expected_text
    for name, own, other in zip(flat._fields, flat, expected, strict=True):
        if name != "class_ids":
            assert own.tolist() == other.tolist(), name
    assert [fast.class_names[i] for i in flat.class_ids] == [
        slow.class_names[i] for i in expected.class_ids
    ]
    layers, edges = fast.count(rows)
    assert layers.tolist() == np.diff(flat.layer_starts).tolist()
    assert edges.tolist() == np.diff(flat.edge_starts).tolist()


@pytest.mark.parametrize("name", ["dense-skip", "feed-forward"])
def test_parameters_are_those_that_keras_counts(name):
    space = get_space(name, num_layers=3)
    rows = random_sequences(sizes_of(space), 1, 0, 5)
    parameters = assembler_for(space, (8,), (2,)).assemble(rows).parameters()
    for row, count in zip(rows.tolist(), parameters.tolist(), strict=True):
        assert space.build(row, (8,), (2,)).to_keras().count_params() == count


class NoisySpace(FeedForwardSpace):
    """Derived from a known space, but its graphs are its own."""

    def assemble(self, labels, inputs, heads):
        return super().assemble(["identity", *labels[1:]], inputs, heads)


def test_a_derived_space_is_built_by_itself():
    space = NoisySpace(2, units=(3, 4, 1), activations=["relu"])
    assembler = assembler_for(space, (2,), (1,))
    assert isinstance(assembler, GraphAssembler)
    flat = assembler.assemble(np.array([[1, 2], [2, 0]], np.int16))
    assert np.diff(flat.layer_starts).tolist() == [3, 2]


def test_declared_spaces_are_built_and_what_cannot_exist_is_refused():
    space = get_space("nt3")
    rows = random_sequences(sizes_of(space), 1, 0, 20)
    flat, text = assembler_for(space, (64, 1), (2,)).assemble_with_json(rows)
    graphs = [space.build(row, (64, 1), (2,)) for row in rows.tolist()]
    assert np.diff(flat.layer_starts).tolist() == [len(graph) for graph in graphs]
    assert text.decode().splitlines() == [graph.to_json() for graph in graphs]
    with pytest.raises(PopulationError, match=r"cannot exist .*\(7, 1\): .* larger than its input"):
        assembler_for(space, (7, 1), (2,)).assemble(rows)


def test_shapes_that_do_not_fit_are_refused():
    space = get_space("dense-skip")
    with pytest.raises(SpaceError, match="vectors"):
        assembler_for(space, (4, 4), (1,))
    with pytest.raises(SpaceError, match="output shape"):
        assembler_for(space, (4,), (0,))
