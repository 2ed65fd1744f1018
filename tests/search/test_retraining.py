"""After a search: full trainings from both starts, and the part of the data that no search saw."""

import json

import pandas as pd
import pytest

from parsl_tl import Campaign
from parsl_tl.cli.program import main
from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.search.retraining import Retraining
from parsl_tl.search.scoring import evaluate_best

pytestmark = pytest.mark.slow

SOURCE = """
import numpy as np

from parsl_tl.problems import Data, Problem


class Sums(Problem):
    name, input_shape, output_shape = "sums", (4,), (1,)
    metrics, objective, epochs, batch_size = ("r2",), "val_r2", 2, 16

    def _load(self):
        x = np.random.default_rng(0).random((120, 4), np.float32)
        y = x.sum(axis=1, keepdims=True)
        return Data(x[:80], y[:80], x[80:100], y[80:100], x[100:], y[100:])
"""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory, one_worker):
    folder = tmp_path_factory.mktemp("retraining")
    (folder / "sums.py").write_text(SOURCE)
    run = Campaign(
        f"{folder}/sums.py:Sums",
        "feed-forward",
        kernel=one_worker,
        space_args={"num_layers": 2, "units": (4, 8, 4)},
        out=folder / "run",
        population_size=3,
        sample_size=2,
        hyperparameters={"learning_rate": [0.001, 0.01]},
        minimize=["parameters"],
    )
    results = run.search(8)
    assert results["pareto"].any()
    assert set(results["choice_learning_rate"]) == {"0.001", "0.01"}
    return run


def test_both_starts_side_by_side_and_carried_on(campaign, capsys):
    folder = campaign.folder / "retrain"
    command = ["retrain", str(campaign.folder), "--top", "2", "--epochs", "4", "--save"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "times as fast (median)" in said
    frame = pd.read_csv(folder / "retrain.csv")
    assert sorted(zip(frame["rank"], frame["start"], strict=True)) == [
        (1, "inherited"),
        (1, "scratch"),
        (2, "inherited"),
        (2, "scratch"),
    ]
    assert frame["test_r2"].notna().all()
    curves = pd.read_parquet(folder / "retrain_curves.parquet")
    assert curves.groupby(["model_id", "start"]).size().tolist() == [4] * 4
    assert (curves.groupby(["model_id", "start"])["seconds"].diff().dropna() > 0).all()
    assert (folder / "retrain.png").stat().st_size > 5_000
    assert len(list(folder.glob("*.keras"))) == 4

    # Killed while it wrote a line, and with one training lost: only that one is done again.
    log = folder / "retrain.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:3], lines[3][:40]]))
    assert main(command) == 0
    again = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["seconds_train"] for row in again[:3]] == [
        json.loads(line)["seconds_train"] for line in lines[:3]
    ]
    assert len(again) == 4
    with pytest.raises(CampaignError, match=r"trainings of 4 epochs, not 9"):
        Retraining(campaign.folder, epochs=9)


def test_inherited_weights_begin_where_the_search_ended(campaign, one_worker):
    out = campaign.folder / "one"
    work = Retraining(campaign.folder, out, top=1, epochs=1, training={"batch_size": 40})
    by_start = {
        row["start"]: row for row in map(dict, work.run(kernel=one_worker).to_dict("records"))
    }
    assert by_start["inherited"]["objective"] > by_start["scratch"]["objective"]
    assert "training_asked" not in work.results
    with pytest.raises(CampaignError, match=r"with \{'batch_size': 40\}, not \{\}"):
        Retraining(campaign.folder, out, top=1, epochs=1)


def test_a_training_that_makes_nothing_better_gives_back_what_was_found(campaign, one_worker):
    out = campaign.folder / "worse"
    work = Retraining(
        campaign.folder,
        out,
        top=1,
        epochs=2,
        training={"optimizer": "adamw", "optimizer_args": {"weight_decay": 50.0}},
        starts=["inherited"],
    )
    (row,) = work.run(kernel=one_worker).to_dict("records")
    (found,) = evaluate_best(campaign.folder, 1, kernel=one_worker).to_dict("records")
    assert (row["best_epoch"], row["epochs"]) == (0, 2)
    assert row["objective"] == pytest.approx(row["found"], abs=1e-5)
    assert row["test_r2"] == pytest.approx(found["test_r2"], abs=1e-5)
    assert max(work.curves["val_r2"]) < row["found"]


def test_test_values(campaign, capsys):
    assert main(["evaluate", str(campaign.folder), "--top", "3"]) == 0
    frame = pd.read_parquet(campaign.folder / "evaluate.parquet")
    assert len(frame) == 3
    assert frame["test_r2"].notna().all()
    assert frame["objective"].is_monotonic_decreasing


def test_what_cannot_be(campaign, tmp_path):
    with pytest.raises(CampaignError, match="holds no campaign"):
        Retraining(tmp_path)
    with pytest.raises(InvalidValueError, match="starts="):
        Retraining(campaign.folder, starts=["donor"])
    with pytest.raises(InvalidValueError, match="did you mean 'batch_size'"):
        Retraining(campaign.folder, training={"batch": 3})
    with pytest.raises(InvalidValueError, match="learning_rate is chosen with each architecture"):
        Retraining(campaign.folder, training={"learning_rate": 0.5})
