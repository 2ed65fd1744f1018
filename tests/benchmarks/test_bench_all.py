"""``parsl-tl bench all``: every benchmark that there is, and one page whatever becomes of them."""

import sys
from pathlib import Path

import pytest

from parsl_tl.benchmarks.core import every_benchmark
from parsl_tl.benchmarks.core.every_benchmark import small_command
from parsl_tl.benchmarks.core.options import check_values, settings_from
from parsl_tl.benchmarks.core.suite import all_suites
from parsl_tl.cli import main
from parsl_tl.cli.bench import BenchParser

# What runs instead of ``parsl-tl bench``: a benchmark that works, and one that fails.
_PROGRAM = """
import argparse, pathlib, sys
from parsl_tl.reporting.tables import print_table
from parsl_tl.reporting.frame_plots import save_plot
parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--out", type=pathlib.Path)
parser.add_argument("--folder")
args = parser.parse_args()
if args.name == "bad":
    print("half a table")
    sys.exit("error: there is no room")
print("working:  50%")
print_table("Figures", [{"what": "<b>", "folder": args.folder}])
save_plot(args.out / "figures_of_mine.png", lambda axes: axes.plot([1, 2]))
"""


def test_a_page_with_what_went_well_and_what_did_not(tmp_path, monkeypatch, capsys):
    (tmp_path / "program.py").write_text(_PROGRAM)
    suites = {}
    for name in ("good", "bad"):

        class One(type(all_suites()["lcp"])):
            title = f"A {name} one"
            small = ("--out", "elsewhere")

        One.name = name
        suites[name] = One()
    monkeypatch.setattr(every_benchmark, "all_suites", lambda: suites)
    monkeypatch.setattr(every_benchmark, "_PROGRAM", (sys.executable, str(tmp_path / "program.py")))
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
    """Options as they are; what they measure is tested with each benchmark."""
    suites = {name: suite for name, suite in all_suites().items() if suite.small}
    assert suites.keys() >= {"lcp", "store", "remote", "transfer", "writes"}
    parser = BenchParser()
    for name, suite in suites.items():
        command = small_command(suite, Path("out"), Path("folder"))
        assert command[2:4] == ["parsl_tl.cli", "bench"]
        args = parser.parse_args(command[4:])
        assert (args.action, args.out) == (name, Path("out"))
        assert check_values(settings_from(args, suite)) != suite


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
