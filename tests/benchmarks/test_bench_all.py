"""``parsl-tl bench all``: every benchmark that there is, and one page whatever becomes of them."""

import subprocess
from pathlib import Path

import pytest

from parsl_tl.benchmarks.core import every_benchmark
from parsl_tl.benchmarks.core.every_benchmark import SMALL_BENCHMARKS, SmallBenchmark
from parsl_tl.cli import main

_WRITES = """
import argparse, pathlib
from parsl_tl.benchmarks.core.report import print_table, save_plot
parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--out", type=pathlib.Path)
parser.add_argument("--folder")
args = parser.parse_args()
print("working:  50%")
print_table("Figures", [{"what": "<b>", "folder": args.folder}])
save_plot(args.out / "figures_of_mine.png", lambda axes: axes.plot([1, 2]))
"""
_FAILS = "import sys; print('half a table'); sys.exit('error: there is no room')"


def test_a_page_with_what_went_well_and_what_did_not(tmp_path, monkeypatch, capsys):
    for name, code in (("good", _WRITES), ("bad", _FAILS)):
        (tmp_path / f"{name}.py").write_text(code)
    good, bad = ((str(tmp_path / f"{name}.py"),) for name in ("good", "bad"))
    benchmarks = [
        SmallBenchmark("good", "A good one", "Does it work?", (), "--folder", good),
        SmallBenchmark("bad", "A bad one", "Does it fail?", (), "", bad),
    ]
    monkeypatch.setattr(every_benchmark, "SMALL_BENCHMARKS", benchmarks)
    out = tmp_path / "out"
    assert main(["bench", "all", "--out", str(out), "--folder", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "A bad one: failed: exit code 1: error: there is no room" in shown
    page = (out / "report.html").read_text()
    assert page.count("<h2") == 2
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "working:" not in page
    assert str(tmp_path) in page
    assert 'alt="figures of mine" src="data:image/png;base64,iVBOR' in page
    assert "there is no room" in page
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_every_benchmark_can_be_run():
    """Programs and options as they are; what they measure is tested with each of them."""
    for benchmark in SMALL_BENCHMARKS:
        command = [*benchmark.command(Path("out"), None)[: -2 - len(benchmark.options)], "--help"]
        help_text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        wanted = [word for word in benchmark.options if word.startswith("--")]
        for option in [*wanted, "--out", *filter(None, [benchmark.folder_option])]:
            assert option in help_text, (benchmark.name, option)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "nothing"], "there is no benchmark 'nothing'"),
        (["--folder", "/no"], "no folder"),
    ],
)
def test_wrong_options(tmp_path, capsys, options, message):
    assert main(["bench", "all", "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
