"""What a notebook shows: a campaign, its figures, graphs, stores and matches."""

import html
import shutil

import numpy as np
import pytest
from long_run import write_long_run

from parsl_tl import Campaign, get_space, open_store
from parsl_tl.errors import InvalidValueError


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown") / "a<b"
    write_long_run(folder, 40, workers=2, population_size=8, failing=0.2)
    return Campaign.resume(folder)


def test_a_campaign_shows_its_best(campaign):
    shown = campaign._repr_html_()
    best = campaign.results.sort_values("objective", ascending=False).iloc[0]
    assert best["model_id"] in shown
    assert html.escape(campaign.summary()) in shown
    assert "a<b" not in shown
    assert "a&lt;b" in shown


def test_figures(campaign, tmp_path):
    frame = campaign.results
    (objective,) = campaign.plot.objective().axes
    dots, best = objective.lines
    assert np.array_equal(dots.get_ydata(), frame["objective"], equal_nan=True)
    assert best.get_ydata()[-1] == frame["objective"].max()
    (failures,) = campaign.plot.failures().axes
    bars = {bar.get_width() for bar in failures.patches}
    assert bars == set(frame["failure"].value_counts())
    (prefixes,) = campaign.plot.prefixes().axes
    children = frame["parent"].notna() & frame["objective"].notna()
    assert sum(bar.get_height() for bar in prefixes.patches) == children.sum()
    campaign.plot.steps().savefig(tmp_path / "steps.png")
    shutil.copy(campaign.folder / "config.json", tmp_path)
    empty = Campaign.resume(tmp_path)
    for name in ("objective", "steps", "prefixes", "failures"):
        getattr(empty.plot, name)().savefig(tmp_path / f"{name}.png")
    assert "0 evaluations" in empty._repr_html_()


def test_graphs_stores_and_matches(tmp_path):
    space = get_space("feed-forward", num_layers=3)
    graph = space.build([1, 2, 3], (8,), (2,))
    shown = graph._repr_html_()
    assert all(name in shown for name in graph.layer_names)
    weights = {
        name: [np.ones((4, 4), np.float32)]
        for name, layer in zip(graph.layer_names, graph.layers, strict=True)
        if layer.class_name == "Dense"
    }
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        store.put(1, graph, weights, quality=0.5)
        match = store.find_donor(graph)
        assert all(name in match._repr_html_() for name in match.layer_names)
        assert "bytes live" in store._repr_html_()
    assert "<table" not in store._repr_html_()  # closed
    assert str(tmp_path) in store._repr_html_()


def test_results_for_polars_and_arrow(campaign):
    frame = campaign.results
    table = campaign.to_arrow()
    assert table.column_names == list(frame.columns)
    assert table["objective"].null_count == frame["objective"].isna().sum() > 0
    assert table["arch_seq"].to_pylist() == frame["arch_seq"].tolist()
    assert table["choice_layer_1"].to_pylist() == frame["choice_layer_1"].tolist()
    assert campaign.to_arrow("curves").num_rows == len(campaign.curves)
    with pytest.raises(InvalidValueError, match="table='curve'; choose"):
        campaign.to_arrow("curve")
    polars = pytest.importorskip("polars")
    told = campaign.to_polars()
    assert told.filter(polars.col("objective").is_null()).height == table["objective"].null_count
    assert told["model_id"].to_list() == frame["model_id"].tolist()
