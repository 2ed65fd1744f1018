"""``apps/load_single.py``: some layers of many."""

import pandas as pd
import pytest
from app_runs import refusal, run_app

from parsl_tl.benchmarks.formats import LAYER_FORMATS
from parsl_tl.benchmarks.suites.save_load import Reads, Subset, load_file_layers
from parsl_tl.errors import BenchmarkError

LAYERS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("subset", "layers", "label"),
    [
        (Subset(), LAYERS, "everything"),
        (Subset(share=1.0), LAYERS, "everything"),
        (Subset(share=0.2), LAYERS[:1], "first 20%"),
        (Subset(share=0.21), LAYERS[:2], "first 21%"),
        (Subset(count=3), LAYERS[:3], "first 3"),
        (Subset(names=("d", "b")), ["b", "d"], "by name: d b"),
    ],
)
def test_subsets(subset, layers, label):
    assert subset.of(LAYERS) == layers
    assert subset.label == label


def test_subsets_that_cannot_be():
    with pytest.raises(BenchmarkError, match="there are 5 layers with weights, not 6"):
        Subset(count=6).of(LAYERS)
    with pytest.raises(BenchmarkError, match="no layer 'x'; there are a, b, c, d, e"):
        Subset(names=("a", "x")).of(LAYERS)


def test_wrong_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def told(*options):
        return refusal("load_single.py", *options, monkeypatch=monkeypatch, capsys=capsys)

    assert "repeats=0" in told("--repeats", "0")
    assert "count=0" in told("--count", "0")
    assert "share=1.5" in told("--share", "0.5", "1.5")
    assert "share=nan" in told("--share", "nan")
    assert "unknown format 'zip'" in told("--formats", "zip")
    assert "must end in one of .weights.h5, .keras" in told("--files", "model.zip")
    assert "is no folder" in told("--folder", "/nowhere")


@pytest.mark.slow
def test_layers_by_name_count_and_share(tmp_path):
    ended = run_app(
        "load_single.py",
        *("--model", "candle", "dense:1x10", "--input-length", "300", "--scale", "0.05"),
        *("--layers", "dense_1", "--count", "2", "--share", "0.5", "--repeats", "2"),
        *("--folder", str(tmp_path), "--out", "o"),
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "Cold reads from" in ended.stdout
    rows = pd.read_csv(tmp_path / "o" / "load_single.csv")
    assert rows.successful.all()
    assert len(rows) == 2 * len(LAYER_FORMATS) * 4 * 2 * 2
    counts = rows.groupby(["model", "subset"]).layers.unique().map(list).to_dict()
    nt3 = "candle(length=300,scale=0.05)"
    assert counts == {
        (nt3, "by name: dense_1"): [1],
        (nt3, "first 2"): [2],
        (nt3, "first 50%"): [3],
        (nt3, "everything"): [5],
        ("dense:1x10", "by name: dense_1"): [1],
        ("dense:1x10", "first 2"): [2],
        ("dense:1x10", "first 50%"): [5],
        ("dense:1x10", "everything"): [10],
    }
    # Every format reads the same bytes.
    assert (rows.groupby(["model", "subset"]).bytes.nunique() == 1).all()
    assert set(rows.drop_method[rows.cache == "cold"]) == {"posix_fadvise"}
    assert rows.drop_method[rows.cache == "warm"].isna().all()
    # Either the pages went, or it is told that they did not.
    stayed = rows[(rows.cache == "cold") & (rows.cached_share > 0.02)]
    assert stayed.result.str.contains("stayed in memory").all()
    assert (tmp_path / "o" / "load-dense-1x10.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same model in every file format, whole and cut off."""
    pytest.importorskip("keras")
    from parsl_tl.benchmarks.core.networks import Network, build_network
    from parsl_tl.benchmarks.formats import FILE_FORMATS
    from parsl_tl.benchmarks.formats.file_format import written_files

    folder = tmp_path_factory.mktemp("files")
    model = build_network(Network("dense:0.5x4"))
    for file_format in FILE_FORMATS.values():
        for name in ("whole", "cut"):
            file_format.save(model, folder / f"{name}{file_format.suffix}")
        path = folder / f"cut{file_format.suffix}"
        largest = max(written_files(path), key=lambda file: file.stat().st_size)
        with largest.open("r+b") as file:
            file.truncate(largest.stat().st_size // 2)
    return folder


def test_files_of_others(files):
    for name in ("whole.weights.h5", "whole.keras", "whole.safetensors", "whole.ckpt.index"):
        rows = load_file_layers(files / name, Reads([Subset(share=0.5), Subset()]))
        assert [row["successful"] for row in rows] == [True] * 4, rows
        assert {row["layers"] for row in rows} == {2, 4}
    with pytest.raises(BenchmarkError, match=r"no\.keras is missing"):
        load_file_layers(files / "no.keras", Reads([]))
    with pytest.raises(BenchmarkError, match="the name must end in"):
        load_file_layers(files / "no.zip", Reads([]))


@pytest.mark.slow
def test_what_is_damaged_becomes_a_row_and_the_run_goes_on(files, tmp_path):
    names = ["cut.weights.h5", "gone.weights.h5", "cut.keras", "cut.safetensors"]
    names += ["cut.ckpt.index", "whole.weights.h5"]
    ended = run_app(
        "load_single.py",
        *("--files", *(files / name for name in names)),
        *("--count", "1", "99", "--repeats", "1", "--out", "o"),
        cwd=tmp_path,
    )
    assert ended.returncode == 1, ended.stderr
    rows = pd.read_csv(tmp_path / "o" / "load_single.csv")
    rows["file"] = rows.model.str.rpartition("/")[2]
    for name in names[:-1]:
        own = rows[rows.file == name.removesuffix(".index")]
        own = own if len(own) else rows[rows.file == name]
        assert len(own), name
        assert not own.successful.any(), name
        assert own.result.str.len().gt(10).all()
    assert "truncated file" in rows[rows.file == "cut.weights.h5"].result.iloc[0]
    assert "is missing" in rows[rows.file == "gone.weights.h5"].result.iloc[0]
    own = rows[rows.file == "whole.weights.h5"].set_index("subset")
    assert own.successful.groupby("subset").all().to_dict() == {
        "first 1": True,
        "first 99": False,
        "everything": True,
    }
    assert own.result["first 99"].str.contains("there are 4 layers").all()
