"""``parsl-tl bench evaluation``: steps of real trainings, and how a stopwatch sums them."""

import numpy as np
import pandas as pd
import pytest

from parsl_tl.benchmarks.suites import evaluation_steps
from parsl_tl.benchmarks.suites.evaluation_steps import OURS, STEPS, Stopwatch
from parsl_tl.cli import main


@pytest.mark.slow
def test_a_small_run(tmp_path, capsys):
    options = ["--problems", "nt3", "--genes", "1000", "--rows", "60", "--epochs", "2"]
    options += ["--modes", "keras", "frozen", "cut", "--backends", "tensorflow", "--repeats", "1"]
    options += ["--threads", "1", "--folder", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["bench", "evaluation", *options]) == 0
    assert "nt3, tensorflow: processor milliseconds" in capsys.readouterr().out
    rows = pd.read_parquet(tmp_path / "out" / "evaluation.parquet").set_index("mode")
    assert list(rows.index) == ["keras", "frozen", "cut"]
    for kind in ("sec", "cpu_sec"):
        steps = rows[[f"{step}_{kind}" for step in STEPS]]
        assert (steps.sum(axis=1) - rows[f"total_{kind}"]).abs().max() < 1e-6
        # Every step of a mode was seen, and none of another mode's.
        assert (steps.loc["cut"].drop(f"load_{kind}") > 0).all()
        assert (steps.loc["keras", [f"{step}_{kind}" for step in OURS[1:4]]] == 0).all()
    assert rows.loc["keras", "layers_matched"] == 0
    assert 0 < rows.loc["cut", "layers_matched"] < rows.loc["cut", "layers"]
    assert (rows["frontier_bytes"] > 0).tolist() == [False, False, True]
    # The same training, but for rounding.
    assert rows.loc["cut", "objective"] == pytest.approx(rows.loc["frozen", "objective"], abs=0.1)
    starts = pd.read_csv(tmp_path / "out" / "evaluation_starts.csv")
    assert (starts[["start_cpu_sec", "load_cpu_sec"]] > 0).all(axis=None)
    assert (tmp_path / "out" / "evaluation.png").stat().st_size > 5_000
    # Nothing temporary stays.
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_the_first_epoch_takes_longer_is_the_trace(monkeypatch):
    now = np.zeros(2)
    monkeypatch.setattr(evaluation_steps, "_now", lambda: now)
    watch = Stopwatch()
    for step, wall in [
        *(("rest", 1), ("build", 2)),
        *((("train", 0), 10), (("validate", 0), 5), (("train", 0), 1), (("train", 1), 3)),
        *((("validate", 1), 2), (("train", 2), 5), (("validate", 2), 2), ("compile", 7)),
    ]:
        watch.switch(step)
        now = np.add(now, [wall, wall / 2])
    with watch.step("store"):
        now = np.add(now, [4, 0])
    spent = watch.spent()
    # Epochs of training take 11, 3 and 5, of validation 5, 2 and 2.
    expected = {"rest": 1, "build": 2, "trace": 7 + 3, "train": 12, "validate": 6}
    expected |= {"compile": 7, "store": 4}
    assert {step: wall for step, (wall, _) in spent.items() if wall} == expected
    assert spent["trace"][1] == 5
    assert spent["store"][1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--share", "1.5"], "share=1.5"),
        (["--problems", "nix"], "unknown problem 'nix'"),
        (["--backends", "theano"], "unknown backend 'theano'"),
        (["--rows", "3"], "rows=3 must be at least 50"),
    ],
)
def test_wrong_options(tmp_path, capsys, options, message):
    assert main(["bench", "evaluation", "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
