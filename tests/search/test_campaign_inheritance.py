"""How children inherit, and from whom, as a campaign and the command line say it."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from parsl_tl.cli.program import main
from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.search.campaign import Campaign
from parsl_tl.store import open_store

POLICY = """
from parsl_tl.training.inheritance import Stage


class KeepFirst:
    def __init__(self, count):
        self.count = count

    def stages(self, inherited, depth):
        return [Stage(frozen=tuple(inherited[: self.count]), epochs=1), Stage(rate=0.5)]
"""
SEARCH = ("search", "--problem", "digits", "--space", "feed-forward", "--space-arg", "num_layers=3")


def campaign_of(out, **settings):
    return Campaign("digits", "feed-forward", out=out, max_workers=1, **settings)


def test_a_policy_is_part_of_the_training(tmp_path):
    campaign = campaign_of(tmp_path / "run", inherit="thaw:2", training={"epochs": 3})
    assert campaign.settings.training == {"epochs": 3, "inherit": "thaw:2"}
    same = {"inherit": "thaw:2", "training": {"epochs": 3}}
    assert Campaign.resume(tmp_path / "run", expected=same).settings == campaign.settings
    with pytest.raises(CampaignError, match="thaw:3"):
        Campaign.resume(tmp_path / "run", expected={**same, "inherit": "thaw:3"})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"inherit": "shrink:0.9"}),
        ({"training": {"epochs": 3}}, {"epochs": 3, "inherit": "shrink:0.9"}),
        ({"inherit": "freeze"}, {"inherit": "freeze"}),
        ({"training": {"unfreeze_after": 1}}, {"unfreeze_after": 1}),
        ({"hyperparameters": {"inherit": ["freeze", "thaw:1"]}}, {}),
        ({"from_scratch": True}, {}),
    ],
)
def test_a_search_that_says_nothing_shrinks_what_is_inherited(tmp_path, settings, expected):
    campaign = campaign_of(tmp_path / "run", **settings)
    assert campaign.settings.training == expected
    # The same options carry it on, and others do not.
    given = {"training": settings.get("training"), "inherit": settings.get("inherit")}
    Campaign.resume(tmp_path / "run", expected=given)
    if settings != {"inherit": "freeze"}:
        with pytest.raises(CampaignError, match="training"):
            Campaign.resume(tmp_path / "run", expected={"inherit": "freeze"})


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"inherit": "melt"}, InvalidValueError, "'melt'.*freeze"),
        ({"inherit": "melt:2"}, InvalidValueError, "melt:2"),
        ({"inherit": "slow", "training": {"inherit": "freeze"}}, CampaignError, "leave one"),
        ({"inherit": "slow", "training": {"unfreeze_after": 1}}, InvalidValueError, "thaw:1"),
        ({"training": {"cut_prefix": "maybe"}}, InvalidValueError, "cut_prefix"),
        ({"quality_rate": -1.0}, InvalidValueError, "quality_rate=-1.0"),
        ({"min_quality": float("nan")}, InvalidValueError, "min_quality is NaN"),
        ({"min_quality": 0.5, "transfer": "hdf5"}, CampaignError, "min_quality=0.5.*transfer_args"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_made(tmp_path, settings, error, words):
    with pytest.raises(error, match=words):
        campaign_of(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_with_a_policy_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "keep_first.py").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    command = [*SEARCH, "--workers", "1", "--epochs", "2", "--max-evals", "5", "--out", "run"]
    command += ["--population-size", "2", "--inherit", "keep_first.py:KeepFirst:1"]
    assert main([*command, "--quality-rate", "20", "--min-quality", "0.2"]) == 0
    settings = json.loads((tmp_path / "run/config.json").read_text())
    assert settings["training"]["inherit"] == f"{tmp_path / 'keep_first.py'}:KeepFirst:1"
    assert (settings["quality_rate"], settings["min_quality"]) == (20.0, 0.2)
    results = pd.read_csv(tmp_path / "run/results.csv")
    assert results["failure"].isna().all()
    children = results[results["layers_transferred"] > 0]
    assert len(children) > 0
    assert {"frontier_bytes", "seconds_prefix"} <= set(results.columns)
    # In the second stage, everything is trained.
    late = children[children["best_epoch"] == 2]
    assert (late["bytes_stored"] == late["bytes_total"]).all()
    with open_store(f"embedded:{tmp_path / 'run/store'}", read_only=True) as store:
        assert store.verify().ok
