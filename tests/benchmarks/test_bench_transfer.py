"""apps/bench_transfer.py: every method on small models, and what goes wrong on the way."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from parsl_tl.architecture import longest_common_prefix
from parsl_tl.benchmarks.core.options import left_out
from parsl_tl.benchmarks.core.servers import redis_missing
from parsl_tl.benchmarks.core.task_runner import Where
from parsl_tl.benchmarks.formats.bench_model import KINDS, ModelFamily
from parsl_tl.benchmarks.suites.transfer import TransferSuite
from parsl_tl.errors import BenchmarkError, InvalidValueError

APP = Path(__file__).parents[2] / "apps" / "bench_transfer.py"
SMALL = ["--max-layer-size", "400", "--max-layers", "5", "--n-iter", "2", "--donors", "2"]


@pytest.mark.parametrize("kind", KINDS)
def test_models_share_what_was_asked_for(kind):
    family = ModelFamily(kind, max_layer_size=4096, max_layers=10, shared=0.8)
    graphs = [family.graph(number) for number in (0, 1, 2, 3)]
    assert len({graph.layer_keys[-1] for graph in graphs}) == 4
    for graph in graphs[1:]:
        shared = len(longest_common_prefix(graph, graphs[0]))
        assert 0.5 * len(graph) <= shared < len(graph)
    if kind == "small":
        assert len(graphs[0]) == 11
        assert len(longest_common_prefix(graphs[1], graphs[0])) == 9
        assert graphs[0].layers[1].config["units"] == 32


@pytest.mark.slow
def test_the_app(tmp_path):
    pytest.importorskip("keras")
    methods = ["store", "safetensors", "hdf5", *([] if redis_missing() else ["redis"])]
    command = [sys.executable, APP, *SMALL, "--transfer", *methods, "--out", tmp_path / "out"]
    options = ["--folder", tmp_path, "--rates", "20", "--rate-seconds", "1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(tmp_path / "out" / "timings.parquet")
    assert len(rows) == len(methods) * 4
    assert (rows["failure"] == "").all()
    assert set(rows["layers_transferred"]) <= {4, 5}
    own = rows[rows["method"] == "store"]
    others = rows[rows["method"] != "store"]
    assert (own["bytes_stored"] < others["bytes_stored"].min()).all()
    rates = pd.read_csv(tmp_path / "out" / "rates.csv")
    assert rates["failed"].sum() == 0
    assert (rates["done_per_sec"] > 0).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        *("timings.csv", "rates.parquet", "machine.json"),
        *("transfer_steps.png", "transfer_rates.png"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing temporary stays


@pytest.mark.slow
def test_a_method_that_fails_does_not_end_the_others(tmp_path):
    pytest.importorskip("redis")
    family = ModelFamily("small", 400, 5)
    suite = TransferSuite(
        transfer=("redis", "safetensors"),
        family=family,
        n_iter=1,
        donors=1,
        rates=(),
        folder=tmp_path,
        redis_url=f"unix://{tmp_path}/nobody.sock",
        where=Where(workers=1),
    )
    tables = suite.checked().measure()
    failed = [row for row in tables["timings"] if row["failure"]]
    assert [row["method"] for row in failed] == ["redis"]
    assert "nobody.sock did not answer" in failed[0]["failure"]
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items() if rows}
    assert suite.failures(frames) == [failed[0]["failure"]]
    (_, _), (_, counts), (_, shares) = suite.summary(frames)
    assert counts.models.to_dict() == {"redis": 0, "safetensors": 1}
    assert len(shares) == 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"transfer": ("pigeon",)}, InvalidValueError, "choose from"),
        ({"n_iter": 0}, InvalidValueError, "n_iter=0"),
        ({"rates": (0.0,)}, InvalidValueError, "rates=0.0 must be above 0"),
        ({"family": ModelFamily("tall")}, InvalidValueError, "small, shallow, dense-skip"),
        ({"family": ModelFamily(shared=1.0)}, InvalidValueError, "shared=1.0"),
        ({"family": ModelFamily(max_layers=1)}, InvalidValueError, "max_layers=1"),
        ({"folder": Path("/nowhere")}, BenchmarkError, "/nowhere is no folder"),
    ],
)
def test_wrong_settings(changes, error, message):
    with pytest.raises(error, match=message):
        TransferSuite(**{"transfer": ("store",), **changes}).checked()


def test_wrong_options_of_the_app(tmp_path):
    command = [sys.executable, APP, "--out", tmp_path, "--folder", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/nowhere is no folder" in done.stderr


def test_what_is_not_installed_is_left_out_unless_it_was_named(tmp_path, monkeypatch):
    """A PATH without redis-server, as on a machine where it was never installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    told = dict(left_out(TransferSuite()))
    assert told.keys() == {"redis"}
    assert told["redis"].startswith("redis-server is not installed")
    assert TransferSuite().checked().transfer == ("store", "safetensors", "hdf5")
    with pytest.raises(BenchmarkError, match="redis-server is not installed"):
        TransferSuite(transfer=("redis",)).checked()
    own = TransferSuite(transfer=("redis",), redis_url="unix:///x").checked()
    assert own.transfer == ("redis",)
