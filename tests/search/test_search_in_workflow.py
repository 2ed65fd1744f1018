"""apps/search_in_workflow.py: a search on the workers of a workflow that was there before."""

import pytest
from app_runs import APPS, run_app

MARKS = ("# --- added", "# --- until here")


def test_what_was_added_is_short():
    lines = (APPS / "search_in_workflow.py").read_text().splitlines()
    first, last = (next(i for i, x in enumerate(lines) if x.startswith(m)) for m in MARKS)
    assert last - first - 1 < 30


@pytest.mark.full
@pytest.mark.slow
def test_the_workflow_finds_a_network_that_does_the_same(tmp_path):
    done = run_app("search_in_workflow.py", "--out", "out", "--max-evals", "6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "layers from a donor" in done.stdout
    assert (tmp_path / "out" / "surrogate.keras").is_file()
    assert (tmp_path / "out" / "search" / "results.csv").is_file()
