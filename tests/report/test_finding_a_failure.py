"""Why something failed is found in two clicks, in the pages of real searches that went wrong."""

import re
from importlib.util import find_spec

import pytest
from browser import browser_page
from fault_runs import SUPPORT, FaultRun

from parsl_tl.report.page import report_page
from parsl_tl.report.run import read_run

pytestmark = pytest.mark.slow

SPACE = ("--space", "feed-forward", "--population-size", "4", "--sample-size", "2")


@pytest.fixture
def search(tmp_path):
    runs = []

    def started(*options, fault=""):
        config = ("--config", SUPPORT / "fault_config.py", "--workers", "2")
        out = ("--out", tmp_path / "run")
        (tmp_path / "evaluated").touch()
        runs.append(FaultRun(tmp_path, *options, *out, *config, fault=fault))
        return runs[-1]

    yield started
    for run in runs:
        run.kill_all()


def two_clicks(run, section, word, tmp_path):
    """Opens an entry of a section, and the first one in it; returns what is seen then."""
    file = tmp_path / "report.html"
    file.write_text(report_page([run]))
    with browser_page() as page:
        page.goto(file.as_uri())
        entry = page.locator(f"#{section} > details", has_text=word).first
        entry.locator("> summary").click()
        told = entry.locator("p.problem").first.inner_text()
        entry.locator("details > summary").first.click()
        shown = entry.locator("details pre").first
        assert shown.is_visible()
        return told, shown.inner_text()


def test_a_problem_that_raises_on_one_worker(search, tmp_path):
    problem = f"{SUPPORT / 'broken_worker.py'}:BrokenWorker"
    command = ("-mparsl_tl.cli", "search", "--problem", problem, *SPACE)
    ended = search(*command, "--max-evals", "14", "--max-failed-share", "1")
    assert ended.wait() == 0, ended.text()
    run = read_run(tmp_path / "run")
    failed = run.frame[run.frame["objective"].isna()]
    assert 1 < len(failed) < 14
    told, shown = two_clicks(run, "why-0", "Runtime", tmp_path)
    (worker,) = failed["worker"].unique()
    assert told == (
        f"{len(failed)} times, all on {worker}: "
        "RuntimeError: cuDNN failed to load: version 8 where 9 is needed"
    )
    assert "broken_worker.py" in shown  # the line that raised it


@pytest.mark.full
def test_a_block_that_dies(search, tmp_path):
    command = (SUPPORT / "sleeping_campaign.py", "search", "--problem", "digits", *SPACE)
    logs = tmp_path / "logs"
    tracked = ("--tensorboard", logs) if find_spec("tensorboard") else ()
    ended = search(*command, "--max-evals", "24", *tracked, fault="block-exits-137")
    assert ended.wait() == 0, ended.text()
    run = read_run(tmp_path / "run")
    assert run.frame["failure"].isna().all()  # it is asked again, and no evaluation's failure
    if tracked:  # each evaluation once, as the search went on
        written = {path.name[6:] for path in (logs / "run").glob("*-*")}
        assert written == set(run.frame["model_id"])
    told, shown = two_clicks(run, "incidents-0", "of executor workers has ended", tmp_path)
    assert re.search(r"block \d of executor workers has ended: FAILED, exit code 137", told)
    assert "exit code 137" in shown


@pytest.mark.full
def test_blocks_that_cannot_start(search, tmp_path):
    command = (SUPPORT / "sleeping_campaign.py", "search", "--problem", "digits", *SPACE)
    ended = search(*command, "--max-evals", "6", fault="all-fail")
    assert ended.wait() == 3
    told, shown = two_clicks(read_run(tmp_path / "run"), "incidents-0", "the search ends", tmp_path)
    assert told.startswith("once: the search ends, and is carried on by --resume")
    assert "no such module" in shown
