import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import InvalidValueError, SpaceError
from parsl_tl.spaces import get_space
from parsl_tl.spaces.mutation import choice_weights, mutate, random_arch_seq, uniform_weights

SPACE = get_space("dense-skip", num_layers=4)


@given(st.integers(0, 2**32), st.sampled_from([None, 1.0, 3.0]))
def test_a_child_differs_in_exactly_one_choice_and_fits_the_space(seed, beta):
    rng = np.random.default_rng(seed)
    parent = random_arch_seq(SPACE, rng)
    weights = uniform_weights(SPACE) if beta is None else choice_weights(SPACE, beta)
    child = mutate(parent, SPACE, rng, weights)
    assert SPACE.check(child) == child
    assert sum(a != b for a, b in zip(parent, child, strict=True)) == 1


def test_all_other_values_of_a_choice_are_equally_likely():
    rng = np.random.default_rng(0)
    weights = np.zeros(len(SPACE.choices()))
    weights[0] = 1.0
    parent = [7] + [0] * (len(weights) - 1)
    drawn = [mutate(parent, SPACE, rng, weights)[0] for _ in range(6000)]
    counts = np.bincount(drawn, minlength=31)
    assert counts[7] == 0
    expected = 6000 / 30
    assert np.all(np.abs(np.delete(counts, 7) - expected) < 6 * np.sqrt(expected))


def test_beta_groups_choices_by_what_they_invalidate():
    weights = choice_weights(SPACE, beta=5.0)
    groups: dict[int, float] = {}
    members: dict[int, list[float]] = {}
    for index, weight in enumerate(weights):
        key = SPACE.invalidated(index)
        groups[key] = groups.get(key, 0.0) + weight
        members.setdefault(key, []).append(weight)
    ordered = [groups[key] for key in sorted(groups, reverse=True)]
    np.testing.assert_allclose(np.diff(ordered), np.diff(ordered)[0])  # grows linearly
    assert ordered[-1] / ordered[0] == pytest.approx(5.0)
    for shares in members.values():
        np.testing.assert_allclose(shares, shares[0])  # shared equally
    assert weights.sum() == pytest.approx(1.0)


def test_beta_one_is_uniform_over_groups():
    weights = choice_weights(SPACE, beta=1.0)
    groups: dict[int, float] = {}
    for index, weight in enumerate(weights):
        groups[SPACE.invalidated(index)] = groups.get(SPACE.invalidated(index), 0.0) + weight
    np.testing.assert_allclose(list(groups.values()), 1 / len(groups))


@pytest.mark.parametrize("beta", [0.5, float("nan"), float("inf")])
def test_a_beta_below_one_is_refused(beta):
    with pytest.raises(InvalidValueError, match="beta"):
        choice_weights(SPACE, beta)


def test_a_space_without_alternatives_cannot_mutate():
    class Fixed(type(SPACE)):
        def choices(self):
            return [choice._replace(values=choice.values[:1]) for choice in super().choices()]

    with pytest.raises(SpaceError, match="nothing to choose"):
        uniform_weights(Fixed())
