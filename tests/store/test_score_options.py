"""Every option of the query against an oracle that looks at every model, wherever it lies."""

import math
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl import open_store
from parsl_tl.architecture import GraphBuilder
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces.keras_layers import activation, add, dense

# A branch of each width from the input, so often: equal branches are twins. Then a chain.
GRAPH = st.tuples(
    st.lists(st.sampled_from([2, 3]), min_size=1, max_size=3),
    st.lists(st.sampled_from([1, 2, "relu"]), max_size=3),
)
QUALITY = st.sampled_from([-1e3, -1.0, -0.5, 0.0, 0.25, 1.0, 1e3])
FINGERPRINT = st.sampled_from([0, 1, 2, 2**64 - 1])  # of the data


def graph_of(form):
    branches, chain = form
    builder = GraphBuilder()
    source = builder.input((3,))
    ends = [dense(builder, source, 2 if units == 2 else 3, "relu") for units in branches]
    ends = [dense(builder, end, 2, "relu") for end in ends]
    tensor = add(builder, ends) if len(ends) > 1 else ends[0]
    for step in chain:
        if step == "relu":
            tensor = activation(builder, tensor, "relu")
        else:
            tensor = dense(builder, tensor, step, "relu")
    return builder.build(tensor)


def weights_of(graph):
    return {
        name: [np.zeros(100 * layer.config["units"], "u1")]
        for name, layer in zip(graph.layer_names, graph.layers, strict=True)
        if layer.class_name == "Dense"
    }


def weight_of(layer, by):
    if by == "layers":
        return 1
    if by == "bytes":
        return 100 * layer.config["units"] if layer.class_name == "Dense" else 0
    return math.floor(by.get(layer.class_name, 0.0) * 65536 + 0.5)


def oracle(living, query, by, quality_rate=0.0, min_quality=None, exclude=(), fingerprints=None):
    """(id, score) of the best of (id, graph, quality, fingerprint), oldest first, or None."""
    unit = 1.0 if isinstance(by, str) else 1 / 65536
    weight = {
        key: weight_of(layer, by)
        for key, layer in zip(query.layer_keys.tolist(), query.layers, strict=True)
    }
    best = None
    for order, (model_id, graph, quality, fingerprint) in enumerate(living):
        common = weight.keys() & set(graph.layer_keys.tolist())
        if not common or model_id in exclude:
            continue
        if min_quality is not None and quality < min_quality:
            continue
        if fingerprints is not None and fingerprint not in fingerprints:
            continue
        score = sum(weight[key] for key in common) * unit
        rank = (score + quality_rate * quality, quality, order)
        if best is None or rank > best[0]:
            best = (rank, model_id, score)
    return None if best is None else best[1:]


def answers(store, queries, threads, **how):
    """What both calls say; they must say the same."""
    many = store.find_donors(queries, threads=threads, **how)
    found = [
        (int(many.model_ids[i]), float(many.scores[i])) if many.found[i] else None
        for i in range(len(queries))
    ]
    one_by_one = [store.find_donor(query, **how) for query in queries]
    assert [None if m is None else m.model_id for m in one_by_one] == [
        None if f is None else f[0] for f in found
    ]
    for i, match in enumerate(one_by_one):
        if match is not None:
            assert match.quality == many.qualities[i]
    return found


BY = st.one_of(
    st.sampled_from(["layers", "bytes"]),
    st.dictionaries(
        st.sampled_from(["Dense", "Add", "Activation", "InputLayer", "Conv2D"]),
        st.sampled_from([0.0, 1e-5, 0.1, 2 / 3, 1.0, 2.5, 1e6]),
    ),
)
HOW = st.fixed_dictionaries(
    {
        "by": BY,
        "quality_rate": st.sampled_from([0.0, 1e-3, 1.0, 7.5, 1e300]),
        "min_quality": st.sampled_from([None, -0.5, 0.0, 0.25, 1e4]),
        "exclude": st.sets(st.integers(0, 14), max_size=3),
        "fingerprints": st.none() | st.sets(FINGERPRINT),
    }
)
STEP = st.one_of(
    st.tuples(st.just("put"), GRAPH, QUALITY, FINGERPRINT),
    st.tuples(st.just("put"), GRAPH, QUALITY, FINGERPRINT),
    st.tuples(st.just("retire"), st.integers(0, 14)),
    st.sampled_from([("fold",), ("compact",), ("reopen",)]),
)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(STEP, min_size=1, max_size=16),
    queries=st.lists(GRAPH, min_size=1, max_size=3),
    hows=st.lists(HOW, min_size=1, max_size=3),
    threads=st.sampled_from([1, 2]),
)
def test_every_option_gives_the_oracles_answer(steps, queries, hows, threads):
    graphs = [graph_of(form) for form in queries]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"embedded:{folder}/s")
        living, next_id = [], 0
        for step in steps:
            if step[0] == "put":
                _, form, quality, fingerprint = step
                graph, stated = graph_of(form), {"quality": quality, "fingerprint": fingerprint}
                store.put(next_id, graph, weights_of(graph), **stated)
                living.append((next_id, graph, quality, fingerprint))
                next_id += 1
            elif step[0] == "retire":
                if any(model[0] == step[1] for model in living):
                    store.retire(step[1])
                    living = [model for model in living if model[0] != step[1]]
            elif step[0] == "reopen":
                store.close()
                store = open_store(f"embedded:{folder}/s")
            else:
                getattr(store, step[0])()
        with store:
            expected = [[oracle(living, graph, **how) for graph in graphs] for how in hows]
            # In the delta or mixed, then in the snapshot, then in a log that was written anew.
            for change in (None, store.fold, store.compact):
                if change is not None:
                    change()
                assert [answers(store, graphs, threads, **how) for how in hows] == expected
        with open_store(f"embedded:{folder}/s", read_only=True) as store:
            assert [answers(store, graphs, threads, **how) for how in hows] == expected


def test_ties_go_to_the_better_and_then_to_the_newer(store):
    graph = graph_of(([2, 2], [1]))
    for model_id, quality in enumerate([-3.0, -1.0, -1.0, -2.0]):
        store.put(model_id, graph, {}, quality=quality)
    assert store.find_donor(graph).model_id == 2
    store.fold()
    store.put(4, graph, {}, quality=-1.0)  # the tie is between the snapshot and the delta
    assert store.find_donor(graph).model_id == 4
    store.put(5, graph, {}, quality=-1.5)
    assert store.find_donor(graph).model_id == 4
    store.retire(4)
    assert store.find_donor(graph).model_id == 2
    store.retire(2)
    store.compact()
    assert store.find_donor(graph).model_id == 1


def test_quality_can_outweigh_layers_and_bytes(store):
    long, short = graph_of(([2], [1, 1, 1])), graph_of(([2], [1]))
    store.put(1, long, weights_of(long), quality=0.0)
    store.put(2, short, weights_of(short), quality=1.0)
    assert store.find_donor(long).model_id == 1
    assert store.find_donor(long, quality_rate=1.9).model_id == 1
    assert store.find_donor(long, quality_rate=2.0).model_id == 2  # equal: the better wins
    assert store.find_donor(long, by="bytes", quality_rate=199).model_id == 1
    assert store.find_donor(long, by="bytes", quality_rate=201).model_id == 2


def test_a_prefix_that_counts_nothing_is_still_a_match(store):
    graph = graph_of(([2], [1]))
    store.put(1, graph, {}, quality=0)
    assert store.find_donor(graph, by={"Conv2D": 1.0}).model_id == 1
    assert store.find_donors([graph], by={}).scores.tolist() == [0.0]


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"quality_rate": -0.5}, "-0.5"),
        ({"quality_rate": math.nan}, "nan"),
        ({"quality_rate": math.inf}, "inf"),
        ({"min_quality": math.nan}, "NaN"),
        ({"by": "luck"}, "luck"),
        ({"by": "weights"}, "weights"),
        ({"by": {"Dense": -1.5}}, "-1.5"),
        ({"by": {"Dense": math.nan}}, "nan"),
        ({"by": {"Dense": math.inf}}, "inf"),
        ({"by": {"Dense": 1_000_001.0}}, "1000001"),
        ({"exclude": [-1]}, "-1"),
        ({"fingerprints": [-1]}, "-1"),
        ({"fingerprints": [2**64]}, str(2**64)),
        ({"fingerprints": [1.5]}, "1.5"),
        ({"fingerprints": 17}, "17"),
    ],
)
def test_bad_options_are_refused_by_value(store, how, named):
    graph = graph_of(([2], [1]))
    store.put(1, graph, {}, quality=0)
    with pytest.raises(InvalidValueError, match=named):
        store.find_donor(graph, **how)
    with pytest.raises(InvalidValueError, match=named):
        store.find_donors([graph, graph], **how)


@pytest.mark.parametrize(
    ("weight", "unit"), [(0.1, 6554), (2 / 3, 43691), (1e-5, 1), (7e-6, 0), (2.5, 163840)]
)
def test_weights_are_rounded_to_the_nearest(store, weight, unit):
    graph = graph_of(([2], [1]))
    store.put(1, graph, {}, quality=0)
    scores = store.find_donors([graph], by={"Dense": weight}).scores
    assert scores.tolist() == [3 * unit / 65536]


def test_a_million_and_zero_are_weights(store):
    graph = graph_of(([2], [1]))
    store.put(1, graph, {}, quality=0)
    by = {"Dense": 1e6, "InputLayer": 0}
    assert store.find_donors([graph], by=by).scores.tolist() == [3e6]


def test_a_bad_weight_is_refused_whatever_the_candidate(store):
    graph = graph_of(([2], [1]))
    store.put(1, graph, {}, quality=0)
    with pytest.raises(InvalidValueError, match="-1"):
        store.find_donor(graph, by={"Conv2D": -1.0})


def test_a_small_bad_rate_is_named(store):
    with pytest.raises(InvalidValueError, match="1e-09"):
        store.find_donor(graph_of(([2], [1])), quality_rate=-1e-9)


def test_bad_options_are_refused_without_queries_too(store):
    with pytest.raises(InvalidValueError):
        store.find_donors([], quality_rate=-1.0)


def test_only_bytes_that_the_donor_holds_count(store):
    graph = graph_of(([2], [1]))
    store.put(1, graph, weights_of(graph), quality=0.0)
    store.put(2, graph, {}, quality=1.0)  # the same layers, and no weights to give
    assert store.find_donor(graph, by="bytes").model_id == 1


def test_bytes_do_not_depend_on_what_was_folded(store):
    graph = graph_of(([2], [1]))
    store.put(2, graph, {}, quality=1.0)
    store.fold()
    store.put(1, graph, weights_of(graph), quality=0.0)
    before = store.find_donor(graph, by="bytes").model_id
    store.fold()
    assert store.find_donor(graph, by="bytes").model_id == before
