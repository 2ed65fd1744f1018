"""Confidence intervals."""

import numpy as np
import pytest

from parsl_tl.analysis.confidence import mean_interval
from parsl_tl.errors import InvalidValueError

EVERYWHERE = (-np.inf, np.inf)


def test_students_interval():
    trials = [np.array([1.0, 3.0]), np.array([4.0, 4.0]), np.array([3.0, 3.0])]
    mean, low, high = mean_interval(trials, 0.95, EVERYWHERE)
    assert mean == 3
    # t(0.975, 2) = 4.3027; the means 2, 4, 3 have deviation 1
    assert high - mean == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert mean - low == pytest.approx(high - mean)


def test_it_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        trials = [rng.normal(rng.normal(), 1, 20) for _ in range(5)]
        _, low, high = mean_interval(trials, 0.9, EVERYWHERE)
        inside += low <= 0 <= high
    assert abs(inside / 2000 - 0.9) < 0.03


def test_what_never_happened_may_still_be():
    trials = [np.zeros(100)] * 50
    mean, low, high = mean_interval(trials, 0.95, (0.0, 1.0))
    assert mean == low == 0
    assert 1 - (1 - high) ** 50 == pytest.approx(0.975)


def test_wrong_values():
    with pytest.raises(InvalidValueError, match="at least 2"):
        mean_interval([np.zeros(3)], 0.95, EVERYWHERE)
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        mean_interval([np.zeros(3)] * 2, 95, EVERYWHERE)
