"""Catalogs in flat arrays, against graphs that are built one by one."""

import numpy as np
import pytest

from parsl_tl.architecture import hash_graphs
from parsl_tl.errors import InvalidValueError
from parsl_tl.population.aging_evolution import (
    SyntheticFitness,
    evolve,
    random_sequences,
    sequence_dtype,
)
from parsl_tl.population.catalog import evolve_catalog, mutated_queries, random_queries
from parsl_tl.spaces import DenseSkipSpace


@pytest.fixture(scope="module")
def evolved():
    return evolve_catalog(3000, seed=3, window=200)


def weight_bytes(graph):
    """Bytes of float32 weights of each layer, by following the widths through the graph."""
    widths, found = [], []
    for layer in graph.layers:
        sources = [widths[ref.layer] for call in layer.calls for ref in call.inputs]
        if layer.is_input:
            widths.append(layer.config["batch_shape"][-1])
        else:
            widths.append(layer.config.get("units", sources[0]))
        dense = layer.class_name == "Dense"
        found.append(4 * (sources[0] * widths[-1] + widths[-1]) if dense else 0)
    return found


def check_model(catalog, index, graph):
    layers, edges = catalog.layers_of(index), catalog.edges_of(index)
    assert catalog.prefix_hashes[layers].tolist() == graph.prefix_hashes.tolist()
    assert catalog.layer_digests[layers].tolist() == graph.layer_digests
    assert catalog.edges[edges].tolist() == graph.edges.tolist()
    classes = [catalog.class_names[number] for number in catalog.class_ids[layers]]
    assert classes == [layer.class_name for layer in graph.layers]
    assert catalog.layer_bytes[layers].tolist() == weight_bytes(graph)


def test_random_models_are_those_that_the_space_builds():
    queries = random_queries(300, seed=1)
    space = DenseSkipSpace(10)
    graphs = [space.build(seq, (10,), (1,)) for seq in queries.arch_seqs.tolist()]
    hash_graphs(graphs)
    for index, graph in enumerate(graphs):
        check_model(queries, index, graph)


def test_evolved_models_and_their_keys_are_those_that_the_space_builds(evolved):
    space = DenseSkipSpace(10)
    keys = evolved.layer_keys()
    for index in range(0, len(evolved), 29):
        graph = space.build(evolved.arch_seqs[index].tolist(), (10,), (1,))
        check_model(evolved, index, graph)
        assert keys[evolved.layers_of(index)].tolist() == graph.layer_keys.tolist()


def test_every_child_differs_from_a_parent_within_the_window_in_one_choice(evolved):
    assert (evolved.parents[:200] == -1).all()
    children = np.arange(200, len(evolved))
    parents = evolved.parents[200:]
    assert (parents >= children - 200).all()
    assert (parents < children).all()
    differs = evolved.arch_seqs[children] != evolved.arch_seqs[parents]
    assert (differs.sum(axis=1) == 1).all()
    sizes = [len(choice.values) for choice in DenseSkipSpace(10).choices()]
    assert (evolved.arch_seqs >= 0).all()
    assert (evolved.arch_seqs < sizes).all()


def test_quality_is_that_of_the_sequence_and_selection_raises_it(evolved):
    fitness = SyntheticFitness(DenseSkipSpace(10), 3)
    assert fitness.qualities(evolved.arch_seqs).tolist() == evolved.qualities.tolist()
    assert evolved.qualities[-200:].mean() > evolved.qualities[:200].max()
    assert np.std(evolved.qualities[-200:]) > 0


def test_a_seed_gives_one_catalog(evolved):
    again = evolve_catalog(3000, seed=3, window=200)
    assert again.prefix_hashes.tolist() == evolved.prefix_hashes.tolist()
    assert again.parents.tolist() == evolved.parents.tolist()
    other = evolve_catalog(50, seed=4, window=200)
    assert other.arch_seqs.tolist() != evolved.arch_seqs[:50].tolist()


def test_progress_rises_to_one():
    seen = []
    evolve_catalog(5000, window=10, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_head_is_a_view_with_whole_models(evolved):
    head = evolved.head(40)
    assert len(head) == 40
    assert head.layer_starts[-1] == len(head.prefix_hashes) == len(head.layer_keys())
    assert head.edge_starts[-1] == len(head.edges)
    assert np.shares_memory(head.edges, evolved.edges)
    assert len(evolved.head(0)) == 0
    with pytest.raises(InvalidValueError, match="3000 models, not 3001"):
        evolved.head(3001)


def test_mutated_queries_are_children_of_the_latest(evolved):
    queries = mutated_queries(evolved, 100, seed=9, window=50)
    assert (queries.parents >= len(evolved) - 50).all()
    differs = queries.arch_seqs != evolved.arch_seqs[queries.parents]
    assert (differs.sum(axis=1) == 1).all()
    graph = DenseSkipSpace(10).build(queries.arch_seqs[5].tolist(), (10,), (1,))
    check_model(queries, 5, graph)


@pytest.mark.parametrize("wrong", [{"num_models": 0}, {"window": 0}, {"sample_size": 0}])
def test_numbers_that_cannot_work_are_refused(wrong):
    with pytest.raises(InvalidValueError, match="at least 1"):
        evolve_catalog(**{"num_models": 10, **wrong})


def test_choices_with_many_values_evolve():
    space = DenseSkipSpace(subnetworks=True, size="small")  # that of ATTN
    sizes = np.array([len(choice.values) for choice in space.choices()])
    assert sizes.max() > 127
    arch_seqs, parents, qualities = evolve(space, 3000, 1, 50, 5, lambda done: None)
    assert arch_seqs.dtype == np.int16
    assert (arch_seqs >= 0).all()
    assert (arch_seqs < sizes).all()
    assert arch_seqs.max() > 127
    children = np.flatnonzero(parents >= 0)
    assert len(children) == 2950
    assert ((arch_seqs[children] != arch_seqs[parents[children]]).sum(axis=1) == 1).all()
    assert SyntheticFitness(space, 1).qualities(arch_seqs).tolist() == qualities.tolist()
    with pytest.raises(InvalidValueError, match="32,768 values, more than the 32,767"):
        sequence_dtype(DenseSkipSpace(1, (1, 32_767, 1), ["relu"]))


def test_random_sequences_reach_every_value():
    space = DenseSkipSpace(2)
    rows = random_sequences(space, 2000, np.random.default_rng(0))
    assert rows.max(axis=0).tolist() == [len(choice.values) - 1 for choice in space.choices()]
    assert rows.min() == 0
