"""The figures of a study: best values, budgets, paired differences, correlations."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.study.measures import best_so_far, compare, correlations, row_at, seconds_to


def results(objectives, seconds=None):
    return pd.DataFrame(
        {
            "objective": np.array(objectives, float),
            "seconds_cpu": seconds or [1.0] * len(objectives),
        }
    )


@given(st.lists(st.one_of(st.just(math.nan), st.integers(-5, 5).map(float)), min_size=1))
def test_the_best_so_far_is_the_best_of_each_beginning(objectives):
    curve = best_so_far(results(objectives))
    for count in range(1, len(objectives) + 1):
        good = [value for value in objectives[:count] if not math.isnan(value)]
        row = row_at(curve, "evaluation", count)
        assert row["cpu_seconds"] == count
        if not good:
            assert math.isnan(row["objective"])
            continue
        assert row["objective"] == max(good)
        assert seconds_to(curve, max(good)) <= count
    assert seconds_to(curve, 6.0) == math.inf


def test_a_budget_counts_what_had_ended_within_it():
    curve = best_so_far(results([0.1, 0.3, 0.2, 0.9], seconds=[1, 2, 3, 4]))
    assert row_at(curve, "cpu_seconds", 9.99)["objective"] == 0.3
    assert row_at(curve, "cpu_seconds", 10)["objective"] == 0.9
    assert row_at(curve, "cpu_seconds", 0.5)["objective"] == 0.1  # there is no earlier one
    assert seconds_to(curve, 0.25) == 3


def test_what_is_looked_up_costs_what_it_would_have_cost():
    frame = results([0.5, 0.6]).assign(seconds_looked_up=[100.0, 50.0])
    assert best_so_far(frame)["cpu_seconds"].tolist() == [100, 150]


def campaigns(own, baseline):
    rows = [("c", "scratch", seed, value) for seed, value in enumerate(baseline)]
    rows += [("c", "thaw:2", seed, value) for seed, value in enumerate(own)]
    return pd.DataFrame(rows, columns=["case", "policy", "seed", "equal_cpu"])


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        ([0.61, 0.73, 0.52], "better"),
        ([0.40, 0.52, 0.29], "worse"),
        ([0.60, 0.60, 0.60], "alike"),
    ],
)
def test_policies_are_compared_seed_by_seed(own, verdict):
    (row,) = compare(campaigns(own, [0.5, 0.6, 0.4]), 0.9).to_dict("records")
    assert row["verdict"] == verdict
    assert row["difference"] == pytest.approx(np.mean(own) - 0.5)
    assert row["low"] < row["difference"] < row["high"]
    assert row["seeds"] == 3


def test_a_single_seed_tells_a_difference_and_no_interval():
    (row,) = compare(campaigns([0.7], [0.5]), 0.9).to_dict("records")
    assert row["difference"] == pytest.approx(0.2)
    assert math.isnan(row["low"])
    assert row["verdict"] == "alike"


def test_seeds_without_a_partner_are_left_out():
    frame = campaigns([0.7, 0.8, 0.9], [0.5, math.nan, 0.6])
    (row,) = compare(frame, 0.9).to_dict("records")
    assert row["seeds"] == 2


def test_correlations_see_that_transfer_favours_what_is_inherited():
    random = np.random.default_rng(1)
    share, scratch = random.random(40), random.random(40)
    frame = pd.DataFrame(
        {
            "case": "c",
            "policy": "freeze",
            "share": share,
            "scratch": scratch,
            "transferred": scratch - 0.1 * share,
            "architecture": scratch + 1e-9 * random.random(40),
        }
    )
    (row,) = correlations(frame, 0.9).to_dict("records")
    assert row["children"] == 40
    assert row["tau_share"] == pytest.approx(-1)
    assert row["tau_share_low"] <= row["tau_share"] <= row["tau_share_high"]
    assert 0.7 < row["tau_objective"] < 1
    assert abs(row["tau_share_corrected"]) < 0.3
    assert row["tau_objective_corrected"] == pytest.approx(1)
    (old,) = correlations(frame.drop(columns="architecture"), 0.9).to_dict("records")
    assert old["tau_share_corrected"] == old["tau_share"]
    assert row["difference"] == pytest.approx(-0.1 * share.mean())
    assert correlations(frame.head(2), 0.9).empty


def test_only_children_of_the_same_campaign_are_compared():
    share = np.tile(np.arange(1, 5) / 4, 3)
    seed = np.repeat([0, 1, 2], 4)
    frame = pd.DataFrame(
        {
            "case": "c",
            "policy": "freeze",
            "seed": seed,
            "share": share + seed,
            "scratch": 0.1 * seed,
            # Within a campaign the gain falls with the share; from campaign to campaign it grows.
            "transferred": 1.1 * seed - 0.1 * share,
        }
    )
    (row,) = correlations(frame, 0.9).to_dict("records")
    assert row["tau_share"] == row["tau_share_corrected"] == pytest.approx(-1)
    (pooled,) = correlations(frame.drop(columns="seed"), 0.9).to_dict("records")
    assert pooled["tau_share"] > 0
