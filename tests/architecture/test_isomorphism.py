"""Matches are isomorphisms: on random graphs with many twins, against networkx as the oracle."""

import dataclasses
import json
from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl.architecture import (
    ArchitectureGraph,
    Call,
    Layer,
    TensorRef,
    longest_common_prefix,
)
from parsl_tl.architecture.keras_json import keras_tensor
from parsl_tl.spaces import get_space


def node_of(count):
    tensors = [keras_tensor("x", 0, 0, [None, 4]) for _ in range(count)]
    return {"args": [tensors], "kwargs": {}}


@st.composite
def graphs(draw, max_layers=7, kinds=2, max_calls=1):
    """Graphs of few kinds of layers on few tensors, so that nearly all have twins.

    Layers are called up to ``max_calls`` times, each time on what came before, their own earlier
    output included; what no output needs is left out.
    """
    num_inputs = draw(st.integers(1, 2))
    layers = [[f"in{i}", "InputLayer", 0, []] for i in range(num_inputs)]
    tensors = [TensorRef(i, 0, 0) for i in range(num_inputs)]
    for number in range(draw(st.integers(1, max_layers))):
        layers.append([f"layer{number}", "Dense", draw(st.integers(0, kinds - 1)), []])
        for place in draw(st.sets(st.integers(0, number), max_size=max_calls - 1)) | {number}:
            target = num_inputs + place
            # The latest tensors less often: twins want equal inputs.
            chosen = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=2))
            calls = layers[target][3]
            calls.append(Call(tuple(chosen), node_of(len(chosen))))
            tensors.append(TensorRef(target, len(calls) - 1, 0))
    outputs = draw(st.lists(st.sampled_from(tensors[num_inputs:]), min_size=1, max_size=3))
    return pruned(layers, outputs)


def pruned(layers, outputs):
    """Builds the graph of what the outputs need; every input is needed by one more layer."""
    inputs = [i for i, entry in enumerate(layers) if entry[1] == "InputLayer"]
    joined = [*outputs, *(TensorRef(i, 0, 0) for i in inputs)]
    layers = [*layers, ["end", "Concatenate", 0, [Call(tuple(joined), node_of(len(joined)))]]]
    end = TensorRef(len(layers) - 1, 0, 0)
    needed, todo = set(), [end]
    while todo:
        ref = todo.pop()
        if (ref.layer, ref.call) not in needed:
            needed.add((ref.layer, ref.call))
            if layers[ref.layer][3]:
                todo.extend(layers[ref.layer][3][ref.call].inputs)
    kept = sorted({layer for layer, _ in needed})
    calls = {old: sorted(c for own, c in needed if own == old) for old in kept}

    def move(ref):
        return TensorRef(kept.index(ref.layer), calls[ref.layer].index(ref.call), ref.tensor)

    made = []
    for old in kept:
        name, class_name, kind, own = layers[old]
        own = [Call(tuple(map(move, own[c].inputs)), own[c].node) for c in calls[old] if own]
        made.append(Layer(name, class_name, {"name": name, "kind": kind}, tuple(own)))
    return ArchitectureGraph(made, [kept.index(i) for i in inputs], [move(end)])


def relisted(graph, random):
    """The same graph with its layers, and the calls of each, listed in another order."""
    order = list(range(len(graph)))
    random.shuffle(order)
    calls = [list(range(max(1, len(layer.calls)))) for layer in graph.layers]
    for own in calls:
        random.shuffle(own)

    def move(ref):
        return TensorRef(order.index(ref.layer), calls[ref.layer].index(ref.call), ref.tensor)

    layers = []
    for old in order:
        layer = graph.layers[old]
        own = [layer.calls[c] for c in calls[old]] if layer.calls else []
        layers.append(layer.with_calls(Call(tuple(map(move, c.inputs)), c.node) for c in own))
    return ArchitectureGraph(
        layers, [order.index(i) for i in graph.inputs], [move(ref) for ref in graph.outputs]
    )


def labelled(graph):
    """Layers and calls as labelled nodes; edges say which argument, and which output, they are."""
    drawn = nx.DiGraph()
    for index, layer in enumerate(graph.layers):
        config = {key: value for key, value in layer.config.items() if key != "name"}
        position = graph.inputs.index(index) if layer.is_input else None
        drawn.add_node(index, label=(layer.class_name, json.dumps(config), position))
        for number in range(max(1, len(layer.calls))):
            drawn.add_node((index, number), label="call")
            drawn.add_edge(index, (index, number), label="has")
        for number, call in enumerate(layer.calls):
            for source in set(call.inputs):
                places = [i for i, ref in enumerate(call.inputs) if ref == source]
                label = (source.tensor, tuple(places), len(call.inputs))
                drawn.add_edge((source.layer, source.call), (index, number), label=label)
    for number, ref in enumerate(graph.outputs):
        drawn.add_node(("output", number), label=("output", number))
        drawn.add_edge((ref.layer, ref.call), ("output", number), label=ref.tensor)
    return drawn


def are_isomorphic(one, other):
    return nx.is_isomorphic(
        labelled(one),
        labelled(other),
        node_match=nx.algorithms.isomorphism.categorical_node_match("label", None),
        edge_match=nx.algorithms.isomorphism.categorical_edge_match("label", None),
    )


def assert_match_is_an_isomorphism(child, ancestor):
    """Every matched layer is of one kind with its partner, and so are its inputs, in order."""
    common = set(longest_common_prefix(child, ancestor))
    partner = {ancestor.layer_names.index(name): child.layer_names.index(name) for name in common}
    assert len(set(partner.values())) == len(partner)
    for there, here in partner.items():
        one, other = ancestor.layers[there], child.layers[here]
        assert one.class_name == other.class_name
        assert one.config["kind"] == other.config["kind"]
        assert len(one.calls) == len(other.calls)
        if one.is_input:
            assert ancestor.inputs.index(there) == child.inputs.index(here)
        for left, right in zip(one.calls, other.calls, strict=True):
            moved = [TensorRef(partner[ref.layer], ref.call, ref.tensor) for ref in left.inputs]
            assert moved == list(right.inputs)


@settings(max_examples=300)
@given(graphs(), graphs())
def test_a_match_is_an_isomorphism(child, ancestor):
    assert_match_is_an_isomorphism(child, ancestor)


@settings(max_examples=300)
@given(graphs(max_calls=3), graphs(max_calls=3))
def test_a_match_with_shared_layers_is_an_isomorphism(child, ancestor):
    assert_match_is_an_isomorphism(child, ancestor)


@settings(max_examples=300)
@given(graphs(max_layers=4, kinds=1), graphs(max_layers=4, kinds=1))
def test_graphs_are_equal_where_the_oracle_finds_them_isomorphic(one, other):
    assert (one == other) == are_isomorphic(one, other)


@settings(max_examples=300)
@given(graphs(max_layers=3, kinds=1, max_calls=3), graphs(max_layers=3, kinds=1, max_calls=3))
def test_graphs_with_shared_layers_are_equal_where_the_oracle_says_so(one, other):
    assert (one == other) == are_isomorphic(one, other)


@settings(max_examples=300)
@given(graphs(max_calls=3), st.randoms(use_true_random=False))
def test_equal_models_match_wholly_however_they_are_listed(graph, random):
    other = relisted(graph, random)
    assert are_isomorphic(graph, other)
    assert other == graph
    assert other.layer_names == graph.layer_names
    assert longest_common_prefix(other, graph) == other.layer_names
    assert_match_is_an_isomorphism(other, graph)


@settings(max_examples=200)
@given(graphs(max_calls=2), st.randoms(use_true_random=False))
def test_a_listing_that_is_read_from_json_counts_as_little(graph, random):
    document = json.loads(graph.to_json())
    random.shuffle(document["config"]["layers"])
    assert ArchitectureGraph.from_json(json.dumps(document)) == graph


@settings(max_examples=200)
@given(graphs(), st.data())
def test_a_change_keeps_all_that_neither_it_nor_a_twin_leads_to(graph, data):
    index = data.draw(st.integers(0, len(graph) - 1))
    layer = graph.layers[index]
    changed = list(graph.layers)
    changed[index] = dataclasses.replace(layer, config={**layer.config, "kind": 9})
    other = ArchitectureGraph(changed, graph.inputs, graph.outputs)
    assert_match_is_an_isomorphism(other, graph)
    twins = graph.prefix_hashes == graph.prefix_hashes[index]
    behind = [bool(twins[i]) for i in range(len(graph))]
    for place, layer in enumerate(graph.layers):
        for call in layer.calls:
            behind[place] |= any(behind[ref.layer] for ref in call.inputs)
    common = set(longest_common_prefix(other, graph))
    assert graph.layer_names[index] not in common or sum(twins) > 1
    for name, touched in zip(graph.layer_names, behind, strict=True):
        assert touched or name in common


def histories(graph):
    """How often each layer occurs with its history written out as a tree: twins are one."""
    known = []
    for index, layer in enumerate(graph.layers):
        position = graph.inputs.index(index) if layer.is_input else None
        sources = tuple(known[ref.layer] for call in layer.calls for ref in call.inputs)
        calls = tuple(graph.call_digests[index])
        known.append(hash((graph.layer_digests[index], position, calls, sources)))
    return Counter(known)


@pytest.mark.parametrize("space", ["dense-skip", "feed-forward"])
def test_numbering_twins_makes_no_match_of_the_built_in_spaces_shorter(space):
    made = get_space(space, num_layers=6)
    shapes = ((10,), (1,))
    sizes = [len(choice.values) for choice in made.choices()]
    rng = np.random.default_rng(0)
    twins = 0
    for _ in range(300):
        arch_seq = rng.integers(sizes)
        mutant = arch_seq.copy()
        changed = rng.integers(len(sizes), size=rng.integers(1, 4))
        mutant[changed] = rng.integers(sizes)[changed]
        parent, child = (made.build(seq.tolist(), *shapes) for seq in (arch_seq, mutant))
        common = histories(parent) & histories(child)
        twins += max(histories(child).values()) > 1
        assert len(longest_common_prefix(child, parent)) == common.total()
    assert twins > 100 or space == "feed-forward"
