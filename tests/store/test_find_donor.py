"""The query against an oracle that looks at every model."""

import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl import open_store
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.spaces import get_space

SPACE = get_space("dense-skip", num_layers=3, units=(2, 3, 1), activations=["relu"], max_anchors=2)
SIZES = [len(choice.values) for choice in SPACE.choices()]
ARCH = st.tuples(*[st.integers(0, size - 1) for size in SIZES])


def graph_of(arch):
    return SPACE.build(list(arch), (3,), (2,))


def weights_of(graph):
    """Four bytes for each unit, for dense layers only: enough to tell layers from bytes."""
    return {
        name: [np.zeros(layer.config["units"], "f4")]
        for name, layer in zip(graph.layer_names, graph.layers, strict=True)
        if layer.class_name == "Dense"
    }


def oracle(models, query, by, min_quality, exclude):
    best = None
    for order, (model_id, graph, quality) in enumerate(models):
        common = longest_common_prefix(query, graph)
        sizes = {name: arrays[0].nbytes for name, arrays in weights_of(query).items()}
        score = len(common) if by == "layers" else sum(sizes.get(name, 0) for name in common)
        if model_id in exclude or not common:
            continue
        if min_quality is not None and quality < min_quality:
            continue
        rank = (score, quality, order)
        if best is None or rank > best[0]:
            best = (rank, model_id, common)
    return None if best is None else best[1:]


@settings(max_examples=60, deadline=None)
@given(
    stored=st.lists(st.tuples(ARCH, st.sampled_from([-1.0, 0.0, 0.5])), max_size=12),
    retired=st.sets(st.integers(0, 11), max_size=4),
    queries=st.lists(ARCH, min_size=1, max_size=4),
    by=st.sampled_from(["layers", "bytes"]),
    min_quality=st.sampled_from([None, 0.0]),
    exclude=st.sets(st.integers(0, 11), max_size=3),
)
def test_the_donor_is_the_oracles(stored, retired, queries, by, min_quality, exclude):
    with tempfile.TemporaryDirectory() as folder, open_store(f"embedded:{folder}/s") as store:
        models = []
        for model_id, (arch, quality) in enumerate(stored):
            graph = graph_of(arch)
            store.put(model_id, graph, weights_of(graph), quality=quality)
            models.append((model_id, graph, quality))
        for model_id in retired & set(range(len(models))):
            store.retire(model_id)
        models = [model for model in models if model[0] not in retired]
        for arch in queries:
            query = graph_of(arch)
            match = store.find_donor(query, by=by, min_quality=min_quality, exclude=exclude)
            expected = oracle(models, query, by, min_quality, exclude)
            found = None if match is None else (match.model_id, match.layer_names)
            assert found == expected


def test_a_match_tells_its_bytes_and_quality():
    graph = graph_of([1] * len(SIZES))
    with tempfile.TemporaryDirectory() as folder, open_store(f"embedded:{folder}/s") as store:
        assert store.find_donor(graph) is None
        store.put(1, graph, weights_of(graph), quality=0.25)
        match = store.find_donor(graph)
        assert match.layer_names == graph.layer_names
        assert match.num_bytes == sum(a[0].nbytes for a in weights_of(graph).values())
        assert match.quality == 0.25
        assert "0000000000000001" in repr(match)
