"""Of equal objectives, the one with the lower validation loss of the kept weights is better."""

import math

import numpy as np
import pandas as pd
import pytest

from parsl_tl import Campaign
from parsl_tl.search import ExpiringRegularizedEvolution
from parsl_tl.search.best_candidates import BestCandidates
from parsl_tl.search.best_models import BestModels
from parsl_tl.search.kept_figures import Figures, KeptFigures, kept_loss
from parsl_tl.search.results import best_first
from parsl_tl.spaces import get_space

SOURCE = """
import numpy as np

from parsl_tl.problems import Data, Problem


class Saturated(Problem):
    name, input_shape, output_shape = "saturated", (4,), (1,)
    epochs, batch_size, early_stopping_patience = 3, 16, 2

    def _load(self):
        x = np.random.default_rng(0).random((60, 4), np.float32)
        y = x.sum(axis=1, keepdims=True)
        return Data(x[:40], y[:40], x[40:], y[40:])

    def score(self, logs):
        return 1.0
"""


def test_the_loss_is_that_of_the_epoch_that_was_kept():
    history = {"val_loss": [0.5, 0.3, 0.4, None], "val_accuracy": [1.0, 1.0, 1.0, 1.0]}
    assert kept_loss({"best_epoch": 2, "history": history}) == 0.3
    assert kept_loss({"best_epoch": 0, "history": {"val_loss": [0.7]}}) == 0.7
    for unknown in ({}, {"best_epoch": 4, "history": history}, {"best_epoch": 1, "history": {}}):
        assert kept_loss(unknown) == math.inf
    figures = KeptFigures()
    row = {"config": {"model_id": 5}, "objective": 1.0, "metadata": {"history": history}}
    figures.note(row)
    figures.note({**row, "config": {"model_id": 6}, "objective": "F_Broken"})
    assert [figures.take(number).loss for number in (5, 5, 6)] == [0.5, math.inf, math.inf]


def test_a_tournament_of_equals_is_won_by_the_lowest_loss(tmp_path):
    losses = np.random.default_rng(0).random(40).tolist()
    search = ExpiringRegularizedEvolution(
        get_space("dense-skip", num_layers=3),
        population_size=6,
        sample_size=6,
        seed=1,
        figures=lambda model_id: Figures(losses[model_id]),
        log_dir=str(tmp_path),
    )
    for _ in range(30):
        alive = [member.model_id for member in search.population]
        (config,) = search.ask(1)
        if config["parent"] is not None:
            assert config["parent"] == min(alive, key=losses.__getitem__)
        search.tell([(config, 1.0)])


def test_the_best_models_are_ranked_in_the_same_way():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "model_id": range(100),
            "objective": random.choice([0.5, 0.7, np.nan], 100),
            "val_loss": random.choice([0.1, 0.2, np.nan], 100),
        }
    )
    best = BestModels(30)
    for row in frame[frame["objective"].notna()].itertuples():
        best.add(row.model_id, row.objective, np.nan_to_num(row.val_loss, nan=math.inf))
    assert set(best) == set(best_first(frame)["model_id"].head(30))
    told = best_first(frame.drop(columns="val_loss"))  # of a table, which has no losses
    assert told["objective"].is_monotonic_decreasing


@pytest.mark.slow
def test_a_search_of_equals_follows_the_loss_and_keeps_it(tmp_path, one_worker):
    (tmp_path / "saturated.py").write_text(SOURCE)
    campaign = Campaign(
        f"{tmp_path}/saturated.py:Saturated",
        "feed-forward",
        kernel=one_worker,
        space_args={"num_layers": 1, "units": (4, 16, 4)},
        out=tmp_path / "run",
        population_size=3,
        sample_size=3,
        keep_best=1,
    )
    campaign.search(5)
    frame = Campaign.resume(tmp_path / "run", kernel=one_worker).search(8)
    assert (frame["objective"] == 1.0).all()
    assert (frame["epochs"] == 3).all()  # a patience of 2, whatever the loss did
    curves = campaign.curves[campaign.curves["metric"] == "val_loss"]
    lowest = curves.groupby("model_id")["value"].min()
    assert frame["val_loss"].tolist() == lowest.loc[frame["model_id"]].tolist()
    for row, parent in enumerate(frame["parent"]):
        members = frame.iloc[max(0, row - 3) : row]
        assert pd.isna(parent) or parent == best_first(members)["model_id"].iloc[0]
    best = frame.loc[frame["val_loss"].idxmin(), "model_id"]
    assert [one.model_id for one in BestCandidates(campaign.folder, 1).candidates] == [best]
