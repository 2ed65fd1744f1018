"""Whole campaigns on real workers, killed and carried on."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import pandas as pd
import psutil
import pytest
import slow_table

from parsl_tl import Campaign, open_store
from parsl_tl.errors import CampaignError, ParslTLError
from parsl_tl.search.journal import read_whole_lines
from parsl_tl.search.results import best_first
from parsl_tl.training.worker_note import read_notes

SETTINGS = {
    "population_size": 4,
    "sample_size": 2,
    "keep_best": 2,
    "space_args": {"num_layers": 2},
    "training": {"epochs": 2},
}

COMMAND = [
    *(sys.executable, "-m", "parsl_tl.cli", "search", "--problem", "digits"),
    *("--space", "dense-skip", "--space-arg", "num_layers=2", "--population-size", "4"),
    *("--sample-size", "2", "--keep-best", "2", "--epochs", "2", "--workers", "2"),
]


def journal(folder):
    path = folder / "journal.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def finished(folder):
    return [event["config"]["job"] for event in journal(folder) if event["event"] == "finished"]


def wait_for(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def end_tree(process):
    """Ends a process group's left-overs, each by its id."""
    for child in process:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def should_be_stored(results, population_size, keep_best):
    """The population, and the best models of all time."""
    good = results[results["objective"].notna()]
    best = best_first(results)["model_id"][:keep_best]
    return set(good["model_id"].tail(population_size)) | set(best)


def stored(campaign):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with open_store(campaign.store_uri, read_only=True) as store:
            assert store.verify().ok
            return {f"{i:016x}" for i in store.models()["model_id"].to_pylist()}


@pytest.mark.slow
def test_a_campaign_leaves_what_it_promises(tmp_path):
    # Children that freeze what they inherit store what they trained only.
    folder, settings = tmp_path / "run", {**SETTINGS, "inherit": "freeze"}
    campaign = Campaign("digits", "dense-skip", "local", out=folder, max_workers=2, **settings)
    results = campaign.search(12)
    assert len(results) == 12
    assert results["failure"].isna().all()
    assert results["objective"].between(0, 1).all()
    children = results[results["parent"].notna()]
    assert set(results["parent"].dropna()) <= set(results["model_id"])
    assert (results[results["parent"].isna()]["layers_transferred"] == 0).all()
    assert children["layers_transferred"].sum() > 0
    moved = children[children["layers_transferred"] > 0]
    trained = moved["bytes_total"] - moved["bytes_transferred"]
    # All of a model is stored where its donor was retired while it trained.
    assert (
        (moved["bytes_stored"] == trained) | (moved["bytes_stored"] == moved["bytes_total"])
    ).all()
    assert (moved["bytes_stored"] == trained).any()
    assert set(moved["donor"]) <= set(results["model_id"])
    assert (moved["donor"] != moved["model_id"]).all()
    read = pd.read_parquet(tmp_path / "run" / "results.parquet")
    pd.testing.assert_frame_equal(read[["job", "objective"]], results[["job", "objective"]])
    assert len(pd.read_csv(tmp_path / "run" / "results.csv")) == 12
    assert (tmp_path / "run" / "campaign.log").read_text().count("evaluation") >= 12
    assert stored(campaign) == should_be_stored(results, 4, 2)
    # Who did what when: the workers' stamps lie between those of the journal.
    assert (results["ended_ns"] > results["started_ns"]).all()
    assert results["slot"].nunique() == results["worker"].nunique()
    assert {note["worker"] for note in read_notes(tmp_path / "run")} == set(results["worker"])
    events, _ = read_whole_lines(tmp_path / "run" / "journal.jsonl")
    asked = {one["config"]["job"]: one["time_ns"] for one in events if one["event"] == "submitted"}
    ended = {one["config"]["job"]: one["time_ns"] for one in events if one["event"] == "finished"}
    assert (results["started_ns"] > results["job"].map(asked)).all()
    assert (results["ended_ns"] < results["job"].map(ended)).all()
    assert json.loads((tmp_path / "run" / "machine.json").read_text())["packages"]["keras"]
    more = Campaign.resume(tmp_path / "run", max_workers=2).search(14)
    assert list(more["job"][:12]) == list(results["job"])
    assert len(more) == 14


@pytest.mark.slow
def test_a_killed_worker_costs_no_evaluation(tmp_path):
    out = tmp_path / "run"
    # More than there will be: the others may be quicker than the worker that takes its place.
    search = subprocess.Popen([*COMMAND, "--max-evals", "1000", "--out", str(out)])
    wait_for(lambda: len(finished(out)) >= 2)
    rows = [event for event in journal(out) if event["event"] == "finished"]
    worker = psutil.Process(int(rows[0]["metadata"]["worker"].split(":")[1]))
    # At work: one that waits for a task holds the lock of its manager's queue, and takes it along.
    wait_for(lambda: worker.cpu_percent(interval=0.1) > 50)
    submitted = {e["config"]["job"] for e in journal(out) if e["event"] == "submitted"}
    worker.kill()
    wait_for(lambda: submitted <= set(finished(out)))  # what it was at among them
    wait_for(lambda: Campaign.resume(out).results["worker"].nunique() > 2)  # another one is there
    search.send_signal(signal.SIGINT)
    assert search.wait(timeout=240) == 130
    assert len(finished(out)) == len(set(finished(out)))
    assert Campaign.resume(out).results["failure"].isna().all()


@pytest.mark.slow
def test_a_killed_search_is_carried_on_and_nothing_runs_twice(tmp_path):
    out = tmp_path / "run"
    search = subprocess.Popen([*COMMAND, "--max-evals", "14", "--out", str(out)])
    wait_for(lambda: len(finished(out)) >= 7)
    tree = psutil.Process(search.pid).children(recursive=True)
    search.send_signal(signal.SIGKILL)
    search.wait()
    end_tree(tree)
    before = finished(out)
    rows = [event for event in journal(out) if event["event"] == "finished"]
    in_flight = {
        event["config"]["job"]: event["config"]
        for event in journal(out)
        if event["event"] == "submitted" and event["config"]["job"] not in before
    }

    resume = [sys.executable, "-m", "parsl_tl.cli", "search", "--resume", "--out", str(out)]
    done = subprocess.run([*resume, "--max-evals", "14", "--workers", "2"], check=False)
    assert done.returncode == 0
    after = journal(out)
    jobs = finished(out)
    assert sorted(jobs) == list(range(14))
    assert jobs[: len(before)] == before
    assert [event for event in after if event["event"] == "finished"][: len(rows)] == rows
    submitted = [e["config"]["job"] for e in after if e["event"] == "submitted"]
    assert all(submitted.count(job) == 1 for job in before)
    # What was under way is evaluated as it was asked for.
    for config in (event["config"] for event in after if "config" in event):
        if config["job"] in in_flight:
            assert config == in_flight[config["job"]]
    campaign = Campaign.resume(out)
    assert stored(campaign) == should_be_stored(campaign.results, 4, 2)


@pytest.mark.slow
def test_time_being_over_leaves_a_campaign_to_carry_on(tmp_path):
    for seconds in (15, 60, 240):  # how many a busy machine needs for its first evaluation
        out = tmp_path / f"run{seconds}"
        campaign = Campaign(
            *(f"{slow_table.__file__}:SlowTable", "feed-forward", "local"),
            problem_args={"folder": str(tmp_path)},
            out=out,
            max_workers=1,
        )
        first = campaign.search(1000, max_seconds=seconds)
        if len(first) > 0:
            break
    assert 0 < len(first) < 1000
    assert first["failure"].isna().all()
    assert os.path.exists(out / "results.parquet")  # noqa: PTH110
    resumed = Campaign.resume(out, max_workers=1).search(len(first) + 1)
    assert len(resumed) == len(first) + 1


def test_a_folder_in_use_is_not_taken(tmp_path):
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(CampaignError, match="--resume"):
        Campaign("digits", "dense-skip", out=tmp_path)
    assert (tmp_path / "results.csv").read_text() == "mine"


def test_resuming_nothing_says_so(tmp_path):
    with pytest.raises(CampaignError, match="holds no campaign"):
        Campaign.resume(tmp_path)


def test_resuming_with_other_settings_is_refused(tmp_path):
    Campaign("digits", "dense-skip", out=tmp_path / "run", seed=1)
    with pytest.raises(CampaignError, match="seed=1, not 2"):
        Campaign.resume(tmp_path / "run", expected={"seed": 2, "beta": None})


@pytest.mark.parametrize(
    ("problem", "space", "settings"),
    [
        ("nope", "dense-skip", {}),
        ("digits", "nope", {}),
        ("digits", "dense-skip", {"space_args": {"num_layers": 0}}),
        ("digits", "dense-skip", {"transfer": "magic"}),
        ("digits", "dense-skip", {"unknown": 1}),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_made(tmp_path, problem, space, settings):
    with pytest.raises(ParslTLError):
        Campaign(problem, space, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
