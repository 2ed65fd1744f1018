"""Weights belong to data: models carry its fingerprint, and a query may allow some data only."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from store_population import put_population

from parsl_tl import open_store
from parsl_tl.errors import InvalidValueError
from parsl_tl.store.prefix_index import PrefixIndex

DATA = Path(__file__).parents[1] / "data"
LARGEST = 2**64 - 1


def donors(store, graph):
    """The donor for each choice of data; one by one and many at once must agree."""
    choices = (None, {1}, {LARGEST}, {0}, {0, 1}, {1, LARGEST}, {5}, ())
    found = {}
    for allowed in choices:
        match = store.find_donor(graph, fingerprints=allowed)
        many = store.find_donors([graph, graph], fingerprints=allowed)
        key = None if allowed is None else frozenset(allowed)
        found[key] = None if match is None else match.model_id
        expected = [] if match is None else [match.model_id] * 2
        assert many.model_ids[many.found].tolist() == expected
    return list(found.values())


def put_three(store, tools):
    """Three models, of which the best match is of one data set, the next of another, and so on."""
    for model_id, arch, fingerprint in ((1, (1, 2, 3), 1), (2, (1, 2), LARGEST), (3, (1,), 0)):
        graph = tools.graph(*arch)
        weights = tools.weights(graph, model_id)
        store.put(model_id, graph, weights, quality=0.1, fingerprint=fingerprint)


def test_only_allowed_donors_are_found(store, tools):
    put_three(store, tools)
    graph = tools.graph(1, 2, 3, 1)
    expected = [1, 1, 2, 3, 1, 1, None, None]
    assert donors(store, graph) == expected
    store.fold()
    assert donors(store, graph) == expected
    store.put(4, graph, tools.weights(graph), quality=0.9, fingerprint=1)
    store.retire(1)
    expected = [4, 4, 2, 3, 4, 4, None, None]
    assert donors(store, graph) == expected  # in the snapshot and behind it
    store.compact()
    assert donors(store, graph) == expected


def test_the_fingerprint_stays_with_the_model(uri, tools):
    with open_store(uri) as store:
        put_three(store, tools)
        put_population(store, range(100, 103), fingerprints=np.array([7, 0, 8], np.uint64))
    expected = {1: 1, 2: LARGEST, 3: 0, 100: 7, 101: 0, 102: 8}
    for change in ("fold", "compact", "verify"):
        with open_store(uri) as store:
            table = store.models()
            told = dict(
                zip(table["model_id"].to_pylist(), table["fingerprint"].to_pylist(), strict=True)
            )
            assert told == expected
            assert {i: store.info(i)["fingerprint"] for i in expected} == expected
            if change == "compact":  # the log is written anew, without it
                store.retire(3)
                del expected[3]
            getattr(store, change)()


@pytest.mark.parametrize("fingerprint", [-1, 2**64, 0.5, "1"])
def test_a_fingerprint_that_is_none_is_refused(store, tools, fingerprint):
    graph = tools.graph(1)
    with pytest.raises(InvalidValueError, match=str(fingerprint)):
        store.put(1, graph, tools.weights(graph), quality=0, fingerprint=fingerprint)
    assert len(store) == 0


def test_too_few_fingerprints_are_refused(store):
    with pytest.raises(InvalidValueError, match="one value for each model"):
        put_population(store, range(3), fingerprints=np.array([7, 8], np.uint64))
    assert len(store) == 0


def test_a_store_from_before_there_were_fingerprints_opens(tmp_path, tools):
    folder = tmp_path / "old"
    folder.mkdir(mode=0o700)
    with zipfile.ZipFile(DATA / "store_without_fingerprints.zip") as archive:
        archive.extractall(folder)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    uri = f"embedded:{folder}"
    with open_store(uri, read_only=True) as store:
        assert store.models()["fingerprint"].to_pylist() == [0, 0, 0]
    with open_store(uri) as store:
        graph = store.graph(4)
        first = graph.layer_names[1]
        assert store.composition(4)[first] == 1
        assert store.find_donor(graph).read([first])[first][1].tolist() == [1, 1, 1]
        assert store.find_donor(graph, fingerprints={0}).model_id == 4
        assert store.find_donor(graph, fingerprints={9}) is None
        store.put(5, graph, {}, quality=0.5, donor=4, fingerprint=9)
        assert store.verify().ok
    with open_store(uri) as store:  # old records and new ones in one log
        assert store.find_donor(graph, fingerprints={9}).model_id == 5
        store.compact()
        assert store.models()["fingerprint"].to_pylist() == [0, 0, 0, 9]
        assert store.find_donor(graph, fingerprints={0}).model_id == 4
        assert store.verify().ok


def test_the_index_by_itself_allows_some_data():
    rng = np.random.default_rng(1)
    count = 400
    keys = [np.unique(rng.integers(0, 30, 8).astype(np.uint64)) for _ in range(count)]
    starts = np.cumsum([0, *map(len, keys)])
    fingerprints = rng.choice(np.array([1, 2, 3], np.uint64), count, p=[0.9, 0.09, 0.01])
    qualities = rng.integers(0, 3, count).astype(float)
    index = PrefixIndex()
    index.add(
        np.arange(count, dtype=np.uint64),
        starts,
        np.concatenate(keys),
        qualities,
        fingerprints=fingerprints,
    )
    for gone in range(0, count, 7):
        index.remove(gone)
    for allowed in (None, {1}, {2}, {3}, {2, 3}, set(), {4}):
        for query in keys[:60]:
            best = index.best(np.array([0, len(query)]), query, fingerprints=allowed)
            ranks = [
                (len(np.intersect1d(query, keys[i])), qualities[i], i)
                for i in range(count)
                if i % 7 and (allowed is None or int(fingerprints[i]) in allowed)
            ]
            length, _, model_id = max(ranks, default=(0, 0, 0))
            assert best.lengths.tolist() == [length]
            assert best.ids.tolist() == [model_id if length else 0]
