"""Files that are named in the user's folder are found from every other one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parsl_tl.errors import CampaignError, ProblemError
from parsl_tl.problems import get_problem
from parsl_tl.problems.registry import resolve_paths
from parsl_tl.search import Campaign


def test_only_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"file": "t.csv", "target": "y", "test": 0.2}
    assert resolve_paths("csv", given) == {**given, "file": str(tmp_path / "t.csv")}
    assert resolve_paths("csv", {"test": "u.csv"}) == {"test": str(tmp_path / "u.csv")}
    assert resolve_paths("digits", {"seed": 1}) == {"seed": 1}
    with pytest.raises(ProblemError, match="no problem is called"):
        resolve_paths("cvs", given)


def test_a_campaign_finds_its_table_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["x,y", *(f"{i * 0.1},{i % 2}" for i in range(50))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    given = {"file": "t.csv", "target": "y"}
    out = tmp_path / "run"
    space = {"space": "feed-forward", "space_args": {"num_layers": 1}}
    Campaign(problem="csv", problem_args=given, config="local", out=out, **space)
    kept = json.loads((out / "config.json").read_text())["problem_args"]
    assert kept == {"file": str(tmp_path / "t.csv"), "target": "y"}
    Campaign.resume(out, "local", expected={"problem_args": given})
    monkeypatch.chdir(tmp_path / "other")
    resumed = Campaign.resume(out, "local")
    assert get_problem("csv", **resumed.settings.problem_args).output_shape == (2,)
    with pytest.raises(CampaignError, match="problem_args"):
        Campaign.resume(out, "local", expected={"problem_args": given})
