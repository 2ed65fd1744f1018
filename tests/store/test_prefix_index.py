"""The inverted index by itself gives what comparing with every model gives."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.architecture.prefix import layer_keys
from parsl_tl.errors import InvalidValueError, ModelExistsError, ModelNotFoundError
from parsl_tl.native import native
from parsl_tl.store.prefix_index import PrefixIndex

MODELS = st.lists(
    st.tuples(
        st.sets(st.integers(1, 12), max_size=6),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.booleans(),
    ),
    max_size=30,
)
QUERIES = st.lists(st.sets(st.integers(1, 14), max_size=8), max_size=8)


def flat(sets):
    starts = np.cumsum([0, *(len(keys) for keys in sets)]).astype(np.int64)
    return starts, np.array([key for keys in sets for key in sorted(keys)], np.uint64)


@given(MODELS, QUERIES, st.integers(1, 3))
def test_the_best_is_the_best_of_all(models, queries, threads):
    index = PrefixIndex()
    half = len(models) // 2
    for first, part in ((1, models[:half]), (half + 1, models[half:])):
        ids = np.arange(first, first + len(part), dtype=np.uint64)
        index.add(ids, *flat([keys for keys, _, _ in part]), np.array([q for _, q, _ in part]))
    for number, (_, _, leaves) in enumerate(models, 1):
        if leaves:
            index.remove(number)
    alive = [(number, *model[:2]) for number, model in enumerate(models, 1) if not model[2]]
    assert len(index) == len(alive)
    best = index.best(*flat(queries), threads=threads)
    for query, *found in zip(queries, best.ids, best.lengths, best.qualities, strict=True):
        scores = [(len(keys & query), quality, number) for number, keys, quality in alive]
        length, quality, number = max(scores, default=(0, 0.0, 0))
        assert found == ([number, length, quality] if length else [0, 0, 0.0])


def test_sequences_decide_before_the_order_of_adding():
    index = PrefixIndex()
    keys = flat([{7}, {7}])
    index.add(np.array([1, 2], np.uint64), *keys, None, np.array([9, 4], np.uint64))
    assert index.best(*flat([{7}])).ids.tolist() == [1]
    index.add(np.array([3], np.uint64), *flat([{7}]))
    assert index.best(*flat([{7}])).sequences.tolist() == [10]


def test_what_does_not_fit_is_refused():
    index = PrefixIndex()
    one = np.array([1], np.uint64)
    index.add(one, *flat([{3}]))
    with pytest.raises(ModelExistsError, match="0000000000000001"):
        index.add(one, *flat([{4}]))
    with pytest.raises(ModelNotFoundError):
        index.remove(2)
    two = np.array([2], np.uint64)
    with pytest.raises(InvalidValueError, match="key twice"):
        index.add(two, np.array([0, 2]), np.array([5, 5], np.uint64))
    with pytest.raises(InvalidValueError, match="no finite number"):
        index.add(two, *flat([{3}]), np.array([np.nan]))
    for starts in ([], [0], [1, 1], [0, 2], [0, 1, 0, 1]):
        with pytest.raises(InvalidValueError):
            index.add(two, np.array(starts, np.int64), np.array([5], np.uint64))
        if starts != [0, 2]:
            continue
        with pytest.raises(InvalidValueError):
            index.best(np.array(starts, np.int64), np.array([5], np.uint64))
    assert len(index) == 1
    assert index.best(*flat([])).ids.tolist() == []


def test_threads_share_an_index():
    index = PrefixIndex()
    stop = threading.Event()
    wrong = []

    def ask():
        while not stop.is_set():
            best = index.best(*flat([{1, 2, 3}] * 50), threads=2)
            if len(set(best.lengths.tolist())) != 1:
                wrong.append(best)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 400):
        index.add(np.array([number], np.uint64), *flat([{1, number % 5}]))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert index.num_bytes > 0


@given(st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=6))
def test_keys_of_many_models_are_those_of_each(models):
    starts = np.cumsum([0, *map(len, models)]).astype(np.int64)
    hashes = np.array([value for model in models for value in model], np.uint64)
    expected = [key for model in models for key in layer_keys(model).tolist()]
    assert native.layer_keys(starts, hashes).tolist() == expected
