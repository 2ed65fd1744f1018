"""The graph walk in C++ against the intersection of key sets."""

import threading
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl._baselines import ArrayGraphWalk, GraphWalk
from parsl_tl.native import native
from parsl_tl.population.catalog import mutated_queries


def flat(catalog):
    return (
        catalog.layer_starts,
        catalog.layer_digests,
        catalog.edge_starts,
        catalog.edges,
    )


WALKS = (GraphWalk, ArrayGraphWalk)


@pytest.fixture(scope="module", params=WALKS)
def walk(catalog, model_ids, request):
    made = request.param()
    made.add_many(model_ids, catalog.qualities, *flat(catalog))
    return made


def test_the_walk_finds_the_model_of_the_set_intersection(walk, oracle, queries):
    checked = 0
    for group in queries:
        keys = group.layer_keys()
        for index in range(len(group)):
            layers = group.layers_of(index)
            found = walk.best(group.layer_digests[layers], group.edges[group.edges_of(index)])
            assert found == oracle.best(keys[layers])
            checked += 1
    assert checked == 300


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_queries_give_what_single_ones_give(walk, queries, threads):
    for group in queries:
        ids, lengths = walk.best_many(*flat(group), threads=threads)
        for index in range(0, len(group), 9):
            found = walk.best(
                group.layer_digests[group.layers_of(index)], group.edges[group.edges_of(index)]
            )
            assert found == (ids[index], lengths[index])


def test_models_added_one_by_one_are_the_same(walk, catalog, model_ids):
    single = type(walk)()
    for index, model_id in enumerate(model_ids[:100].tolist()):
        single.add(
            model_id,
            catalog.qualities[index],
            catalog.layer_digests[catalog.layers_of(index)],
            catalog.edges[catalog.edges_of(index)],
        )
    assert len(single) == 100
    assert len(walk) == len(catalog)
    many = type(walk)()
    head = catalog.head(100)
    many.add_many(model_ids[:100], head.qualities, *flat(head))
    queries = mutated_queries(head, 20, seed=2)
    one, other = single.best_many(*flat(queries)), many.best_many(*flat(queries))
    assert [part.tolist() for part in one] == [part.tolist() for part in other]


# Graphs of few kinds of layers, so that twins, equal inputs and swapped inputs are common.
random_graph = st.lists(
    st.tuples(st.integers(1, 3), st.lists(st.integers(0, 50), min_size=1, max_size=3)),
    max_size=12,
).flatmap(lambda layers: st.tuples(st.just(layers), st.integers(1, 2)))


def to_arrays(drawn):
    layers, num_inputs = drawn
    digests = [100 + number for number in range(num_inputs)]
    edges = []
    for kind, sources in layers:
        edges += [(source % len(digests), len(digests)) for source in sources]
        digests.append(kind)
    return np.array(digests, np.uint64), np.array(edges, np.uint32).reshape(-1, 2)


def prefix_hashes(digests, edges, call_digests=None):
    counts = np.bincount(edges[:, 1], minlength=len(digests))
    inputs = np.zeros((len(edges), 3), np.uint32)
    inputs[:, 0] = edges[:, 0]
    return native.prefix_hashes(
        np.array([0, len(digests)]),
        digests,
        np.arange(len(digests) + 1),
        np.zeros(len(digests), np.uint64) if call_digests is None else call_digests,
        np.concatenate([[0], np.cumsum(counts)]),
        inputs.ravel(),
    )


@given(random_graph, random_graph)
@settings(max_examples=500)
def test_twins_repeated_inputs_and_their_order_count_as_in_hashes(left, right):
    stored, query = to_arrays(left), to_arrays(right)
    # As many of each hash as both have: what numbered twins make of an intersection of sets.
    common = (
        Counter(prefix_hashes(*stored).tolist()) & Counter(prefix_hashes(*query).tolist())
    ).total()
    for kind in WALKS:
        walk = kind()
        walk.add(1, 0.0, *stored)
        assert walk.best(*query) == ((1, common) if common else None)


@pytest.mark.parametrize("kind", WALKS)
def test_the_order_in_which_layers_are_listed_does_not_count(kind):
    digests = np.array([100, 1, 2, 3, 3], np.uint64)
    edges = np.array([[0, 1], [0, 2], [1, 3], [2, 3], [3, 4]], np.uint32)
    place = np.array([4, 2, 0, 3, 1])
    walk = kind()
    moved = np.empty_like(digests)
    moved[place] = digests
    walk.add(1, 0.0, moved, place[edges])
    assert walk.best(digests, edges) == (1, 5)


@pytest.mark.parametrize("kind", WALKS)
def test_ties_go_to_the_quality_and_then_to_the_latest(kind):
    graph = np.array([100, 1], np.uint64), np.array([[0, 1]], np.uint32)
    walk = kind()
    assert walk.best(*graph) is None
    for model_id, quality in ((7, 0.5), (9, 0.8), (8, 0.8), (6, 0.1)):
        walk.add(model_id, quality, *graph)
    assert walk.best(*graph) == (8, 2)
    assert walk.best(np.array([5], np.uint64), np.empty((0, 2), np.uint32)) is None


@pytest.mark.parametrize("kind", WALKS)
def test_what_edges_cannot_tell_is_where_walk_and_hashes_differ(kind):
    """The form of a call (two tensors in one list, or as two arguments) is in the hashes only, as
    are further calls of one layer and a layer's second output. The dense-skip space has none of
    these: there every class has one form for each number of inputs."""
    digests = np.array([100, 101, 1], np.uint64)
    edges = np.array([[0, 2], [1, 2]], np.uint32)
    as_list = prefix_hashes(digests, edges, np.array([0, 0, 11], np.uint64))
    as_arguments = prefix_hashes(digests, edges, np.array([0, 0, 12], np.uint64))
    assert len(np.intersect1d(as_list, as_arguments)) == 2
    walk = kind()
    walk.add(1, 0.0, digests, edges)
    assert walk.best(digests, edges) == (1, 3)


@pytest.mark.parametrize("kind", WALKS)
def test_a_walk_never_reaches_layers_on_a_cycle(kind):
    digests = np.array([100, 1, 2], np.uint64)
    edges = np.array([[0, 1], [2, 1], [1, 2]], np.uint32)
    walk = kind()
    walk.add(1, 0.0, digests, edges)
    assert walk.best(digests, edges) == (1, 1)


@pytest.mark.parametrize("kind", WALKS)
def test_arrays_that_do_not_fit_are_refused(catalog, kind):
    walk = kind()
    with pytest.raises(ValueError, match="edge from layer 0 to layer 2 of a graph of 2"):
        walk.add(1, 0.0, np.array([1, 2], np.uint64), np.array([[0, 2]], np.uint32))
    head = catalog.head(3)
    ids = np.arange(3, dtype=np.uint64)
    with pytest.raises(ValueError, match="starts must rise"):
        walk.add_many(ids, head.qualities, head.layer_starts[1:], *flat(head)[1:])
    with pytest.raises(ValueError, match="one model id"):
        walk.add_many(ids[:2], head.qualities, *flat(head))
    with pytest.raises(ValueError, match="threads"):
        walk.best_many(*flat(head), threads=0)
    assert len(walk) == 0


def test_other_threads_run_while_it_walks(walk, queries):
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        start = time.perf_counter()
        while time.perf_counter() - start < 0.2:
            walk.best_many(*flat(queries[1]))
        end = time.perf_counter()
    finally:
        stop.set()
        ticker.join()
    assert sum(start < moment < end for moment in ticks) > 10
