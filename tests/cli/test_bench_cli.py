"""``parsl-tl bench`` as a user runs it."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from parsl_tl.cli import main
from parsl_tl.reporting.console import make_console, show_progress


def test_help_names_the_benchmarks(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for words in ("lcp", "store", "remote", "parsl-tl bench lcp --quick"):
        assert words in told
    for action in ("lcp", "store", "remote"):
        with pytest.raises(SystemExit):
            main(["bench", action, "--help"])
        assert "--quick" in capsys.readouterr().out


def test_bench_lcp_writes_its_results(tmp_path, capsys):
    out, folder = tmp_path / "new" / "lcp", tmp_path / "stores"
    folder.mkdir()
    command = ["bench", "lcp", "--quick", "--out", str(out), "--folder", str(folder)]
    command += ["--sizes", "300", "--queries", "30", "--methods", "walk", "store", "--seed", "3"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "prefixes:   0% evolve, 300 models" in printed
    assert printed.count("walk, 300 models") == 1  # one line, however many steps it has
    assert max(map(len, printed.splitlines())) <= 100
    rows = pd.read_csv(out / "lcp.csv")
    assert rows.method.tolist() == ["walk", "walk", "store", "store"]
    assert rows.same_answers.tolist() == [30] * 4  # no more than there are queries
    assert len(pd.read_parquet(out / "lcp.parquet")) == 4
    assert pd.read_csv(out / "openings.csv").catalog.tolist() == [300]
    assert pd.read_csv(out / "processes.csv").processes.tolist() == [1, 2]
    assert "cpu" in json.loads((out / "machine.json").read_text())
    for name in ("latency_random.png", "latency_mutated.png", "opening.png"):
        assert (out / name).stat().st_size > 1000
        assert name in printed.replace("\n", "")
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_suite_without_tasks_is_one_with_a_configuration(tmp_path):
    command = [sys.executable, "-m", "parsl_tl.cli", "bench", "lcp", "--quick", "--sizes", "100"]
    command += ["--queries", "20", "--methods", "walk", "store", "--config", "local"]
    command += ["--workers", "1", "--out", str(tmp_path / "out"), "--folder"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lcp, as a task" in done.stdout
    assert pd.read_csv(tmp_path / "out" / "lcp.csv").method.tolist() == [
        *("walk", "walk", "store", "store")
    ]
    assert (tmp_path / "out" / "latency_random.png").stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "parsl").is_dir()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sizes", "0"], "sizes=0 must be at least 1"),
        (["--queries", "-3"], "queries=-3 must be at least 1"),
        (["--queries", "5", "--agreement", "9"], "agreement=9 must be"),
        (["--seed", "-1"], "seed=-1 must be at least 0"),
        (["--folder", "/nowhere"], "/nowhere is no folder, or cannot be written"),
        (["--sizes", "100000000"], "choose smaller --sizes"),
    ],
)
def test_wrong_values_are_told_in_one_line(options, message, capsys, tmp_path):
    assert main(["bench", "lcp", "--out", str(tmp_path / "out"), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith("parsl-tl: error: ")
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_method_that_is_not_one_is_refused(capsys):
    assert main(["bench", "lcp", "--methods", "tape"]) == 2
    assert "unknown method 'tape'; choose from walk, walk-arrays" in capsys.readouterr().err


def test_results_need_a_folder_that_can_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["bench", "lcp", "--quick", "--out", str(tmp_path / "file" / "lcp")]) == 2
    assert "name another folder" in capsys.readouterr().err


def test_progress_is_a_line_per_step_where_there_is_no_terminal(capsys):
    with show_progress(make_console(), "work") as progress:
        for share, text in ((0.0, "first"), (0.2, "first"), (0.5, "second"), (1.0, "done")):
            progress(share, text)
    assert capsys.readouterr().out.splitlines() == [
        "work:   0% first",
        "work:  50% second",
        "work: 100% done",
    ]
