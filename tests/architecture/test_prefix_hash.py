"""Prefix hashes on random graphs, against definitions in plain Python."""

import contextlib
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl.architecture import (
    ArchitectureGraph,
    Call,
    GraphBuilder,
    Layer,
    TensorRef,
    hash_graphs,
    layer_key,
    longest_common_prefix,
)
from parsl_tl.architecture.classes import keras_tensor
from parsl_tl.errors import ArchitectureError
from parsl_tl.native import native


@st.composite
def random_graphs(draw, max_layers=9):
    """Random DAGs in which every layer takes one to three earlier outputs."""
    builder = GraphBuilder()
    tensors = [builder.input((4,)) for _ in range(draw(st.integers(1, 2)))]
    if len(tensors) == 2:
        tensors.append(builder.add("Add", {"kind": 0}, tensors, (4,)))
    for _ in range(draw(st.integers(1, max_layers))):
        sources = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3))
        config = {"kind": draw(st.integers(0, 2))}
        tensors.append(builder.add("Dense", config, sources, (4,)))
    return builder.build(tensors[-1])


def ancestors(graph):
    """For each layer, the set of layers that lead to it, itself included."""
    found = []
    for index, layer in enumerate(graph.layers):
        above = {index}
        for call in layer.calls:
            for ref in call.inputs:
                above |= found[ref.layer]
        found.append(above)
    return found


@given(random_graphs())
def test_a_prefix_holds_all_inputs_of_its_layers(graph):
    other = (
        ArchitectureGraph(graph.layers[:-1], graph.inputs, [TensorRef(len(graph) - 2, 0, 0)])
        if _connected_without_last(graph)
        else graph
    )
    common = set(longest_common_prefix(graph, other))
    for index, above in enumerate(ancestors(graph)):
        if graph.layer_names[index] in common:
            assert {graph.prefix_hashes[i] for i in above} <= {
                layer_hash
                for name, layer_hash in zip(graph.layer_names, graph.prefix_hashes, strict=True)
                if name in common
            }


def _connected_without_last(graph):
    try:
        ArchitectureGraph(graph.layers[:-1], graph.inputs, [TensorRef(len(graph) - 2, 0, 0)])
    except ArchitectureError:
        return False
    return True


@given(random_graphs(), st.randoms(use_true_random=False))
def test_the_order_in_which_layers_are_listed_does_not_count(graph, random):
    order = list(range(len(graph)))
    random.shuffle(order)
    place = {old: new for new, old in enumerate(order)}

    def move(ref):
        return ref._replace(layer=place[ref.layer])

    moved = [
        dataclasses.replace(
            graph.layers[old],
            calls=tuple(Call(tuple(map(move, c.inputs)), c.node) for c in graph.layers[old].calls),
        )
        for old in order
    ]
    other = ArchitectureGraph(
        moved, [place[i] for i in graph.inputs], [move(ref) for ref in graph.outputs]
    )
    assert other == graph
    assert sorted(other.layer_names) == sorted(graph.layer_names)


@given(st.lists(random_graphs(), max_size=5))
def test_a_batch_is_hashed_as_one_by_one(graphs):
    for graph, hashes in zip(graphs, hash_graphs(graphs), strict=True):
        np.testing.assert_array_equal(hashes, graph.prefix_hashes)


@given(random_graphs())
def test_names_and_keys_say_the_same(graph):
    assert [layer_key(name) for name in graph.layer_names] == graph.layer_keys.tolist()
    assert len(set(graph.layer_keys.tolist())) == len(graph)
    assert ArchitectureGraph.from_json(graph.to_json()) == graph


ARRAYS = st.lists(st.integers(-2, 5), max_size=6)


@settings(max_examples=300)
@given(ARRAYS, ARRAYS, ARRAYS, ARRAYS, ARRAYS, st.lists(st.integers(0, 5), max_size=9))
def test_malformed_arrays_are_refused_and_never_crash(starts, digests, calls, nodes, ins, inputs):
    arguments = (
        np.array(starts, "i8"),
        np.abs(np.array(digests, "i8")).astype("u8"),
        np.array(calls, "i8"),
        np.abs(np.array(nodes, "i8")).astype("u8"),
        np.array(ins, "i8"),
        np.array(inputs, "u4"),
    )
    with contextlib.suppress(ValueError):
        assert len(native.prefix_hashes(*arguments)) == len(digests)
    with contextlib.suppress(ValueError):
        outputs = (np.array([0, len(inputs) // 3], "i8"), arguments[5])
        layers, calls = native.canonical_order(*(arguments[i] for i in (0, 2, 4, 5)), *outputs)
        assert len(layers) == len(calls)


def layer(name, *sources, class_name="Dense"):
    node = {"args": [keras_tensor("x", 0, 0, [None, 4]) for _ in sources], "kwargs": {}}
    calls = (Call(tuple(TensorRef(s, 0, 0) for s in sources), node),) if sources else ()
    return Layer(name, class_name, {"name": name}, calls)


INPUT = layer("in", class_name="InputLayer")
TWO_PARTS = [(1, 0, 0), (3, 0, 0)]


@pytest.mark.parametrize(
    ("layers", "inputs", "outputs", "message"),
    [
        ([], [], [], "at least one layer"),
        ([INPUT], [0], [], "at least one output"),
        ([INPUT, layer("a", 5)], [0], [(1, 0, 0)], "layer 5 of 2"),
        ([INPUT, layer("a", 0)], [0], [(1, 3, 0)], "call 3 of 'a'"),
        ([INPUT, layer("a", 0)], [], [(1, 0, 0)], "list it among the inputs"),
        ([INPUT, layer("a")], [0], [(1, 0, 0)], "'a' has no input"),
        ([INPUT, layer("a", 0)], [1], [(1, 0, 0)], "list it among the inputs"),
        ([INPUT, layer("a", 0)], [0, 0], [(1, 0, 0)], "listed twice"),
        ([INPUT, layer("a", 0), INPUT, layer("b", 2)], [0, 2], TWO_PARTS, "more than one part"),
    ],
)
def test_what_is_no_model_is_refused(layers, inputs, outputs, message):
    with pytest.raises(ArchitectureError, match=message):
        ArchitectureGraph(layers, inputs, [TensorRef(*ref) for ref in outputs])


def test_what_no_output_needs_is_left_out():
    needed = [INPUT, layer("a", 0), layer("b", 1)]
    graph = ArchitectureGraph(needed, [0], [TensorRef(2, 0, 0)])
    more = [INPUT, layer("c", 2, 3), layer("a", 0), layer("d", 2), layer("b", 2)]
    other = ArchitectureGraph(more, [0], [TensorRef(4, 0, 0)])
    assert other == graph
    assert [kept.name for kept in other.layers] == ["in", "a", "b"]
    again = layer("a", 0).calls + layer("a", 2).calls  # the second call serves nobody
    shared = [INPUT, layer("a", 0).with_calls(again), layer("b", 1)]
    assert ArchitectureGraph(shared, [0], [TensorRef(2, 0, 0)]) == graph


@given(random_graphs(), random_graphs())
def test_layers_that_lead_nowhere_change_nothing(graph, other):
    """The layers of another graph on top of a graph, which none of its outputs needs."""
    first = len(graph)
    places = {i: i + first for i in range(len(other))}
    places.update(dict.fromkeys(other.inputs, first - 1))
    above = [
        layer.with_calls(
            Call(tuple(ref._replace(layer=places[ref.layer]) for ref in call.inputs), call.node)
            for call in layer.calls
        )
        for layer in other.layers
    ]
    # Input layers of the other keep their places, fed by the graph's last layer.
    node = Call((TensorRef(first - 1, 0, 0),), {"args": [], "kwargs": {}})
    for i in other.inputs:
        above[i] = dataclasses.replace(above[i], class_name="Dense", calls=(node,))
    both = ArchitectureGraph([*graph.layers, *above], graph.inputs, graph.outputs)
    assert both == graph
    assert both.layer_names == graph.layer_names


def test_a_cycle_is_refused():
    with pytest.raises(ArchitectureError, match="cycle"):
        ArchitectureGraph([INPUT, layer("a", 0, 2), layer("b", 1)], [0], [TensorRef(2, 0, 0)])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"class_name": "Functional"}', "3"])
def test_what_is_no_keras_json_is_refused(text):
    with pytest.raises(ArchitectureError):
        ArchitectureGraph.from_json(text)


def test_importing_is_cheap_and_loads_no_framework():
    code = (
        "import sys, parsl_tl; a = set(sys.modules);"
        "from parsl_tl import get_space; s = get_space('dense-skip');"
        "s.build([1] * 17, (4,), (2,)).to_json();"
        "heavy = {'tensorflow', 'keras', 'deephyper'};"
        "assert not a & (heavy | {'parsl', 'pandas', 'pyarrow'}), a;"
        "assert not set(sys.modules) & heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
