"""A Pareto front of what is known only after training: metrics and times."""

import math

import numpy as np
import pytest

from parsl_tl import Campaign
from parsl_tl.errors import InvalidValueError
from parsl_tl.search.kept_figures import KeptFigures, kept_cost
from parsl_tl.search.pareto import pareto_optimal

SOURCE = """
import numpy as np

from parsl_tl.problems import Data, Problem


class Sums(Problem):
    name, input_shape, output_shape = "sums", (4,), (1,)
    metrics, objective, epochs, batch_size = ("r2", "mae"), "val_r2", 1, 16

    def _load(self):
        x = np.random.default_rng(0).random((60, 4), np.float32)
        y = x.sum(axis=1, keepdims=True)
        return Data(x[:40], y[:40], x[40:], y[40:])
"""


def test_costs_are_those_of_the_kept_weights():
    metadata = {"best_epoch": 2, "history": {"val_mae": [3.0, 1.0, 2.0]}, "milliseconds": 7.5}
    assert kept_cost(metadata, "val_mae") == 1.0
    assert kept_cost(metadata, "-val_mae") == -1.0
    assert kept_cost(metadata, "milliseconds") == 7.5
    assert math.isnan(kept_cost({"recalled": True}, "val_mae"))
    with pytest.raises(InvalidValueError, match="'val_f1', but training reports val_mae"):
        kept_cost(metadata, "val_f1")
    assert all(map(math.isnan, KeptFigures(["val_mae", "milliseconds"]).take(1).costs))


@pytest.mark.slow
def test_a_search_keeps_the_front_of_metrics_and_times(tmp_path, one_worker):
    (tmp_path / "pareto_sums.py").write_text(SOURCE)
    where = {"kernel": one_worker, "population_size": 3, "sample_size": 3}
    campaign = Campaign(
        f"{tmp_path}/pareto_sums.py:Sums",
        "feed-forward",
        out=tmp_path / "run",
        space_args={"num_layers": 2, "units": (4, 16, 4)},
        minimize=["val_mae", "-val_loss", "milliseconds", "parameters"],
        **where,
    )
    frame = campaign.search(7)
    assert (frame["milliseconds"] > 0).all()
    columns = [frame["objective"], -frame["val_mae"], frame["val_loss"]]
    columns += [-frame["milliseconds"], -frame["parameters_total"]]
    points = np.column_stack(columns)
    assert frame["pareto"].tolist() == pareto_optimal(points).tolist()
    assert frame["pareto"].any()
    for row, parent in enumerate(frame["parent"]):
        if isinstance(parent, str):  # the whole population takes part in each tournament
            alive = slice(max(0, row - 3), row)
            front = frame["model_id"].iloc[alive][pareto_optimal(points[alive])]
            assert parent in set(front)
    unknown = Campaign(
        f"{tmp_path}/pareto_sums.py:Sums",
        "one-layer",
        out=tmp_path / "unknown",
        minimize=["val_auroc"],
        **where,
    )
    with pytest.raises(InvalidValueError, match=r"'val_auroc', but training reports .*val_mae"):
        unknown.search(2)
