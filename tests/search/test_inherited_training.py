"""What inherited training is worth, learned from children and their parents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.search import ExpiringRegularizedEvolution
from parsl_tl.search.inherited_training import InheritedTraining
from parsl_tl.search.kept_figures import Figures
from parsl_tl.spaces import get_space


def row(model_id, objective, *, parent=None, transferred=0, layers=10, donor=None):
    told = {"layers_total": layers, "layers_transferred": transferred, "donor": donor or parent}
    return {
        "config": {"model_id": model_id, "parent": parent},
        "objective": objective,
        "metadata": told,
    }


def family(shares, gains, worth=0.0):
    """Notes children of one parent; returns what was learned, and what they inherited."""
    training = InheritedTraining()
    training.note(row(0, 0.5))
    inherited = []
    for number, (share, gain) in enumerate(zip(shares, gains, strict=True), 1):
        amount = math.log1p(share / 10)
        child = row(number, 0.5 + gain + worth * amount, parent=0, transferred=share)
        inherited.append(training.note(child))
        assert inherited[-1] == pytest.approx(amount)
    return training, inherited


SHARES = st.lists(st.integers(0, 10), min_size=4, max_size=30)


@given(SHARES, st.floats(-1, 1), st.floats(-1, 1))
def test_what_is_exact_is_found(shares, gain, worth):
    training, inherited = family(shares, [gain] * len(shares), worth)
    expected = worth if np.ptp(inherited) else 0.0
    assert training.worth == pytest.approx(expected, abs=1e-6)


@given(SHARES, st.integers(0, 2**32))
def test_chance_is_taken_off(shares, seed):
    gains = np.random.default_rng(seed).normal(size=len(shares)).tolist()
    training, x = family(shares, gains)
    if not np.ptp(x):
        assert training.worth == 0
        return
    (slope, _), errors = np.polyfit(x, gains, 1, cov="unscaled")
    residuals = np.asarray(gains) - np.polyval(np.polyfit(x, gains, 1), x)
    variance = errors[0, 0] * (residuals**2).sum() / (len(x) - 2)
    expected = slope * max(0.0, 1 - variance / slope**2)
    assert training.worth == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_generations_add_up():
    training = InheritedTraining()
    assert training.note(row(1, 0.5)) == 0
    assert training.note(row(2, 0.6, parent=1, transferred=8)) == pytest.approx(math.log1p(0.8))
    third = training.note(row(3, 0.6, parent=2, transferred=5))
    assert third == pytest.approx(math.log1p(0.5 * (1 + 0.8)))
    # What counts is whose weights came over, and a model of elsewhere was trained once.
    assert training.note(row(4, 0.6, parent=3, donor=1, transferred=5)) == pytest.approx(
        math.log1p(0.5)
    )
    assert training.note(row(5, 0.6, donor=99, transferred=10)) == pytest.approx(math.log1p(1))


def test_what_tells_of_no_layers_inherits_nothing():
    training = InheritedTraining()
    looked_up = {"config": {"model_id": 1, "parent": 7}, "objective": 1.0, "metadata": {}}
    assert training.note(looked_up) == 0
    assert training.worth == 0


def test_tournaments_rank_by_the_architecture(tmp_path):
    """Members that are better by what they inherited only do not win."""
    inherited = np.random.default_rng(0).random(40)
    architectures = np.random.default_rng(1).random(40)
    search = ExpiringRegularizedEvolution(
        get_space("dense-skip", num_layers=3),
        population_size=6,
        sample_size=6,
        seed=1,
        figures=lambda model_id: Figures(inherited=float(inherited[model_id])),
        worth=lambda: 3.0,
        log_dir=str(tmp_path),
    )
    for _ in range(30):
        alive = [member.model_id for member in search.population]
        (config,) = search.ask(1)
        if config["parent"] is not None:
            assert config["parent"] == max(alive, key=architectures.__getitem__)
        number = config["model_id"]
        search.tell([(config, float(architectures[number] + 3 * inherited[number]))])
