"""The page of runs: one file, whatever stands in a journal, and the same views as files."""

import json
import re
import shutil
from dataclasses import asdict
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest
from long_run import write_long_run

from parsl_tl.cli import main
from parsl_tl.cli.program import build_parser
from parsl_tl.cli.search_options import search_settings
from parsl_tl.report.command import repeat_command, shell_line
from parsl_tl.report.figures import write_figures
from parsl_tl.report.page import report_page, rows_of
from parsl_tl.report.run import read_run
from parsl_tl.search.settings import CampaignSettings, resolve_names

VOID = {"meta", "img", "br", "link"}
EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"


class Balanced(HTMLParser):
    """Notes open elements, ids, and what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.fetched, self.errors = [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        links = [given.get(name) for name in ("src", "href", "srcset", "data", "action")]
        self.fetched += [one for one in links if one and not one.startswith(("#", "data:"))]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append((tag, self.getpos()))


def check(page):
    parser = Balanced()
    parser.feed(page)
    assert not parser.errors
    assert not parser.open
    assert not parser.fetched
    assert len(set(parser.ids)) == len(parser.ids)
    assert "http" not in re.sub(r"http-equiv|www\.w3\.org", "", page)
    return parser


def test_one_file_with_everything(run):
    page = report_page([run])
    parser = check(page)
    for view in ("objective_by_time", "workers", "steps", "prefixes", "donors", "storage"):
        assert f"{view}-0" in parser.ids
    for view in ("pareto_parameters_total-0", "pareto_val_loss-0", "lineage-0", "choices-0"):
        assert view in parser.ids
    assert page.count('role="img"') > 12
    assert "OutOfMemory" in page
    rows = json.loads(re.search(r"const ROWS=(.*?);</script>", page)[1])
    assert len(rows[0]["job"]) == 300
    assert rows[0] == rows_of(run)
    assert '<section class="card"><h3>1. ' in page
    assert 'class="inherited"' in page


def test_texts_of_a_journal_are_texts(folder, tmp_path):
    own = tmp_path / "<b>run"
    own.mkdir()
    settings = json.loads((folder / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**settings, "problem": EVIL}))
    lines = (folder / "journal.jsonl").read_text().splitlines()[:40]
    event = json.loads(next(line for line in lines if '"finished"' in line))
    event["objective"] = f"F_{EVIL}"
    event["metadata"].update(error=EVIL, traceback=EVIL, worker=f"{EVIL}:1", slot=None)
    event["config"]["job"] = 9999
    (own / "journal.jsonl").write_text("\n".join([*lines, json.dumps(event)]) + "\n")
    page = report_page([read_run(own)])
    check(page)
    assert "alert(" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_run_with_nothing_in_it(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    check(report_page([read_run(tmp_path)]))
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_text(lines[0])
    check(report_page([read_run(tmp_path)]))


@pytest.mark.slow
def test_runs_are_compared(tmp_path):
    folders = []
    for seed, size in ((1, 10), (2, 10), (3, 12)):
        folders.append(tmp_path / f"seed-{seed}")
        write_long_run(folders[-1], 24, workers=3, seed=seed, population_size=size)
    page = report_page([read_run(one) for one in folders])
    check(page)
    assert "seed-1 and 1 more" in page  # a mean and a band
    assert 'class="band f0"' in page
    assert "Settings in which they differ" in page
    assert "population size" in page


def test_files_of_each_view(run, tmp_path, capsys):
    figures = tmp_path / "figures"
    out = tmp_path / "page.html"
    words = ["report", str(run.folder), "--out", str(out), "--figures", str(figures)]
    assert main([*words, "--formats", "svg", "csv", "--target", "0.9"]) == 0
    assert str(out) in capsys.readouterr().out
    check(out.read_text())
    drawn = sorted(path.stem for path in figures.glob("*.svg"))
    assert {"objective_by_cpu", "workers", "lineage", "architecture_5"} <= set(drawn)
    for path in figures.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.get("aria-label")
        text = path.read_text()
        assert "var(" not in text  # colours are in the file
    grown = pd.read_csv(figures / "objective_by_time.csv")
    assert len(grown) == 300
    assert pd.read_csv(figures / "time_to_target.csv")["target"].tolist() == [0.9]


@pytest.mark.slow
def test_pictures(tmp_path):
    pytest.importorskip("resvg_py", reason="PNG files need the extra `report`")
    write_long_run(tmp_path / "run", 12, workers=2, population_size=4)
    figures = tmp_path / "figures"
    write_figures([read_run(tmp_path / "run")], figures, ["png"])
    files = list(figures.glob("*.png"))
    assert len(files) > 10
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in files)


@pytest.mark.parametrize("words", [["runs/none"], ["{run}", "--out", "page.txt"]])
def test_mistakes_are_told(run, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *(word.format(run=run.folder) for word in words)]) == 2
    assert "parsl-tl: error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"seed": 7, "beta": 2.5, "allow_repeats": True, "max_evals": 90, "keep_best": 3},
        {
            "problem_args": {"test": 0.2, "flat": False},
            "space_args": {"num_layers": 3, "units": (4, 16, 4)},
            "hyperparameters": {"learning_rate": [0.001, 0.01], "optimizer": ["adam", "sgd"]},
            "limits": {"parameters": 100_000},
            "minimize": ["parameters", "-val_auroc"],
            "training": {"epochs": 3, "inherit": "thaw:2", "objective": "-val_loss"},
            "donors": [2**63 + 1, 5],
            "min_quality": -0.5,
            "from_scratch": True,
        },
        {"transfer": "hdf5", "transfer_args": {"folder": "/tmp/a b"}, "donors": "any"},
    ],
)
def test_the_command_repeats_the_run(settings):
    given = CampaignSettings(problem="digits", space="dense-skip", **settings)
    words = repeat_command(given, "runs/again")
    args = build_parser().parse_args(words[1:])
    said = {name: value for name, value in search_settings(args).items() if value is not None}
    again = CampaignSettings(**{"max_evals": args.max_evals, **resolve_names(said)})
    own = ("uid", "store_ids", "import_folders")
    assert {k: v for k, v in asdict(again).items() if k not in own} == {
        k: v for k, v in asdict(given).items() if k not in own
    }
    assert shell_line(words).count("\n") == sum(word.startswith("--") for word in words)
