"""The closed form against figures that are known, and against every case there is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl import longest_common_prefix
from parsl_tl.analysis.closed_form import (
    FeedForwardForm,
    SequentialForm,
    closed_form,
    expected_length,
)
from parsl_tl.errors import InvalidValueError, SpaceError
from parsl_tl.spaces import get_space


def test_two_options_and_300_stored():
    tail = SequentialForm((2,) * 20).tail(300)
    for length, chance, digits in ((5, 0.99993, 5), (8, 0.691, 3), (10, 0.254, 3), (14, 0.018, 3)):
        assert round(float(tail[length]), digits) == chance
        assert tail[length] == pytest.approx(1 - (1 - 2.0**-length) ** 300)


def exact_tail(common, num_stored, longest):
    """P(L >= m) by counting: ``common[i][j]`` is what sequence i shares with sequence j."""
    shorter = np.array([(common < length).mean(axis=1) for length in range(longest + 1)])
    return (1 - shorter**num_stored).mean(axis=1)


def same_beginning(one, other):
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 50))
def test_choices_with_different_numbers_of_options(options, num_stored):
    sequences = list(itertools.product(*map(range, options)))
    common = np.array([[same_beginning(a, b) for b in sequences] for a in sequences])
    form = SequentialForm(tuple(options))
    assert form.tail(num_stored) == pytest.approx(
        exact_tail(common, num_stored, len(options)), abs=1e-12
    )


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 30))
def test_layers_where_one_option_is_none(num_choices, num_layers, num_stored):
    sequences = [
        (*(layer for layer in choices if layer), "output")
        for choices in itertools.product(range(num_layers + 1), repeat=num_choices)
    ]
    common = np.array([[1 + same_beginning(a, b) for b in sequences] for a in sequences])
    form = FeedForwardForm(num_choices, num_layers)
    assert form.tail(num_stored) == pytest.approx(
        exact_tail(common, num_stored, num_choices + 2), abs=1e-12
    )


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 10**6), st.integers(1, 9)
)
def test_more_stored_never_share_less(options, num_stored, more):
    form = SequentialForm(tuple(options))
    tail = form.tail(num_stored)
    assert (np.diff(tail) <= 1e-12).all()
    assert (form.tail(num_stored + more) >= tail - 1e-12).all()
    assert tail[0] == 1


@pytest.mark.parametrize("input_shape", [(3,), [(3,), (2,)]])
def test_real_graphs_of_a_whole_space(input_shape):
    space = get_space("feed-forward", num_layers=3, units=(4, 5, 1), activations=["relu"])
    graphs = [
        space.build(arch_seq, input_shape, (1,))
        for arch_seq in itertools.product(range(3), repeat=3)
    ]
    common = np.array([[len(longest_common_prefix(a, b)) for b in graphs] for a in graphs])
    form = closed_form(space, input_shape, (1,))
    for num_stored in (1, 2, 7, 100):
        tail = form.tail(num_stored)
        exact = exact_tail(common, num_stored, len(tail) - 1)
        assert tail == pytest.approx(exact, abs=1e-12)
        assert expected_length(form, num_stored) == pytest.approx(exact[1:].sum())


def test_what_is_rare_is_not_lost():
    form = SequentialForm((1000,) * 6)
    assert form.tail(10)[6] == pytest.approx(1e-17, rel=1e-9)
    assert math.isfinite(expected_length(FeedForwardForm(100, 500), 10**9))


def test_spaces_without_a_closed_form():
    with pytest.raises(SpaceError, match="'dense-skip' has no closed form"):
        closed_form(get_space("dense-skip"), (3,), (1,))
    with pytest.raises(SpaceError, match=r"output layer \(16 relu\) is one of the variable layers"):
        closed_form(get_space("feed-forward"), (3,), (16,), "relu")
    with pytest.raises(InvalidValueError, match="at least 1 is needed"):
        SequentialForm((2,)).tail(0)
