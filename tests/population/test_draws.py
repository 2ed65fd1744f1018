"""Draws that belong to a model's number: any part of a population comes out the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import InvalidValueError
from parsl_tl.population.draws import mutated, random_sequences

SEEDS = st.integers(0, 2**64 - 1)
SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=40).filter(lambda s: max(s) > 1)


def weights_of(sizes):
    return np.array([float(size > 1) for size in sizes])


@given(SIZES, SEEDS, st.integers(0, 10**12), st.integers(1, 30), st.data())
def test_every_slice_of_a_population_is_the_same(sizes, seed, first, count, data):
    whole = random_sequences(sizes, seed, first, count)
    assert whole.shape == (count, len(sizes))
    assert (whole >= 0).all()
    assert (whole < np.array(sizes)).all()
    start = data.draw(st.integers(0, count))
    end = data.draw(st.integers(start, count))
    part = random_sequences(sizes, seed, first + start, end - start)
    assert part.tolist() == whole[start:end].tolist()

    children = mutated(whole, sizes, weights_of(sizes), seed, 1, first)
    own = mutated(whole[start:end], sizes, weights_of(sizes), seed, 1, first + start)
    assert own.tolist() == children[start:end].tolist()


@given(SIZES, SEEDS, st.integers(0, 2**40), st.data())
def test_a_mutation_changes_exactly_one_choice_to_another_value(sizes, seed, generation, data):
    parents = random_sequences(sizes, seed, 5, 20)
    weights = weights_of(sizes)
    if len(sizes) > 1 and np.count_nonzero(weights) > 1:
        weights[data.draw(st.sampled_from(np.flatnonzero(weights).tolist()))] = 0.0
    children = mutated(parents, sizes, weights, seed, generation, 5)
    changed = children != parents
    assert (changed.sum(axis=1) == 1).all()
    assert (children >= 0).all()
    assert (children < np.array(sizes)).all()
    assert not changed[:, weights == 0].any()


def test_values_positions_and_generations_are_spread_evenly():
    sizes = [31, 2, 7]
    rows = random_sequences(sizes, 3, 0, 62_000)
    for column, size in enumerate(sizes):
        counts = np.bincount(rows[:, column], minlength=size)
        expected = len(rows) / size
        # Five standard deviations: never seen, and a value that is never drawn is found at once.
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    first = mutated(rows, sizes, np.array([1.0, 1.0, 2.0]), 3, 1, 0)
    positions = (first != rows).argmax(axis=1)
    shares = np.bincount(positions) / len(rows)
    assert np.allclose(shares, [0.25, 0.25, 0.5], atol=0.01)
    second = mutated(rows, sizes, np.array([1.0, 1.0, 2.0]), 3, 2, 0)
    assert (first != second).any(axis=1).mean() > 0.5
    assert (random_sequences(sizes, 4, 0, 1000) != rows[:1000]).any(axis=1).mean() > 0.9


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InvalidValueError, match="40000 values"):
        random_sequences([2, 40_000], 0, 0, 1)
    with pytest.raises(InvalidValueError, match="0 values"):
        random_sequences([0], 0, 0, 1)
    with pytest.raises(InvalidValueError, match="seed=-1"):
        random_sequences([2], -1, 0, 1)
