"""``parsl-tl bench generate``: rows, table and plot of a small run."""

import pandas as pd
import pytest

from parsl_tl.cli import main


@pytest.mark.slow
def test_a_small_run(tmp_path, capsys):
    pytest.importorskip("keras")
    options = ["--size", "400", "--keras-models", "2", "--spaces", "seq", "--folder", str(tmp_path)]
    assert main(["bench", "generate", "--out", str(tmp_path / "out"), *options]) == 0
    assert "times Keras" in capsys.readouterr().out
    rows = pd.read_parquet(tmp_path / "out" / "generate.parquet")
    assert set(rows["way"]) == {
        *("keras", "graph by graph", "json", "json+parquet", "parquet", "arrow")
    }
    assert (rows["models_per_second"] > 0).all()
    assert rows.loc[rows["way"] == "keras", "times_keras"].tolist() == [1.0]
    assert rows.loc[rows["way"] == "json", "models"].tolist() == [100, 400]
    assert (tmp_path / "out" / "generate.png").stat().st_size > 10_000
    # Nothing temporary stays.
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "0"], "size=0"),
        (["--folder", "/nowhere"], "/nowhere is no folder"),
        (["--spaces", "nix"], "no search space is called"),
        (["--size", "1000000000000"], "of free space"),
    ],
)
def test_wrong_options(tmp_path, capsys, options, message):
    assert main(["bench", "generate", "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
