"""``apps/save_bench.py``: whole models, saved and loaded."""

import resource

import pandas as pd
import pytest
from app_runs import refusal, run_app

from parsl_tl.benchmarks.formats import FILE_FORMATS

COLUMNS = ["model", "savetime_sec", "loadtime_sec", "filesize_bytes", "status"]
SMALL = ("--model", "candle", "dense:0.4x2", "--input-length", "300", "--scale", "0.05")


def test_wrong_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def told(*options):
        return refusal("save_bench.py", *options, monkeypatch=monkeypatch, capsys=capsys)

    assert "repeats=0" in told("--repeats", "0")
    assert "unknown format 'transfer:store'" in told("--formats", "transfer:store")
    assert "unknown model 'vgg'" in told("--model", "vgg")
    assert "scale=-1.0" in told("--scale", "-1")
    assert "is no folder" in told("--folder", "/nowhere")
    assert "GB of memory are available" in told("--model", "dense:30000", "--scale", "1")
    assert "unknown configuration 'nix'" in told("--config", "nix")


@pytest.mark.slow
def test_models_come_back(tmp_path):
    options = (*SMALL, "--repeats", "2", "--sync", "--folder", str(tmp_path), "--out", "o")
    ended = run_app("save_bench.py", *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    rows = pd.read_csv(tmp_path / "o" / "save_load.csv")
    assert list(rows.columns[:5]) == COLUMNS
    parquet = pd.read_parquet(tmp_path / "o" / "save_load.parquet")
    pd.testing.assert_frame_equal(rows, parquet, check_dtype=False)
    assert (rows.status == "ok").all()
    assert set(zip(rows.model, rows.format, rows.repeat, strict=True)) == {
        (model, name, repeat)
        for model in ("candle(length=300,scale=0.05)", "dense:0.4x2")
        for name in FILE_FORMATS
        for repeat in (1, 2)
    }
    assert (rows.filesize_bytes > rows.weight_bytes).all()
    assert (rows[["savetime_sec", "loadtime_sec"]] > 0).all(axis=None)
    assert (tmp_path / "o" / "save_load.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def limit_files():
    # As a full folder: no file may grow beyond this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.slow
def test_what_fails_becomes_a_row_and_the_run_goes_on(tmp_path):
    ended = run_app(
        "save_bench.py",
        *("--model", "gone.keras", "dense:0.4x2", "dense:0.01x2"),
        *("--formats", "weights.h5", "safetensors", "tensorflow"),
        *("--repeats", "1", "--folder", str(tmp_path), "--out", "o"),
        cwd=tmp_path,
        preexec_fn=limit_files,
    )
    assert ended.returncode == 1, ended.stderr
    rows = pd.read_csv(tmp_path / "o" / "save_load.csv").set_index("model")
    assert rows.status["gone.keras"].str.contains("is missing").all()
    assert rows.status["dense:0.4x2"].str.contains("File too large").all()
    assert (rows.status["dense:0.01x2"] == "ok").all()
    assert rows.loadtime_sec["dense:0.4x2"].isna().all()
