"""A suite is one file: its command and its place in ``bench all`` follow from it."""

import sys

import pytest
from app_runs import modules_of_help

from parsl_tl.benchmarks import suites
from parsl_tl.benchmarks.core.networks import Networks
from parsl_tl.benchmarks.suites import writes
from parsl_tl.cli import main

_SUITE = """
from dataclasses import dataclass

from parsl_tl.benchmarks.core.options import option
from parsl_tl.benchmarks.core.suite import Suite


@dataclass(frozen=True)
class Counting(Suite):
    name = "counting"
    label = "count"
    text = "how far it counts"

    count: int = option(3, "rows", least=1)
    ways: tuple[str, ...] | None = option(
        None, "of counting", choices=("up", "down"), missing=lambda given: {"down": "no stairs"}
    )

    def measure(self, progress):
        return {"counted": [{"number": number} for number in range(self.count)]}

    def summary(self, frames):
        return [("Numbers", frames["counted"])]
"""


def test_a_file_is_a_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "counting_suite.py").write_text(_SUITE)
    monkeypatch.setattr(suites, "__path__", [*suites.__path__, str(tmp_path)])
    try:
        out = str(tmp_path / "out")
        assert main(["bench", "counting", "--count", "2", "--out", out]) == 0
        printed = capsys.readouterr().out
        assert "Numbers" in printed
        assert "without down: no stairs" in printed
        assert (tmp_path / "out" / "counted.csv").read_text() == "number\n0\n1\n"
        assert main(["bench", "counting", "--count", "0", "--out", out]) == 2
        assert "count=0 must be at least 1" in capsys.readouterr().err
    finally:
        sys.modules.pop("parsl_tl.benchmarks.suites.counting_suite", None)


def test_help_loads_no_framework():
    """Of any suite, since a script looks at all of them."""
    assert not {"tensorflow", "keras", "parsl"} & modules_of_help("bench_writes.py")


def test_old_names_work_for_one_release_longer():
    with pytest.warns(DeprecationWarning, match=r"use parsl_tl\.benchmarks\..*writes\.WriteSuite"):
        suite = writes.SUITE
    with pytest.warns(DeprecationWarning, match="WriteSettings is deprecated"):
        settings = writes.WriteSettings(networks=Networks(("dense:0.1x2",)), synced=True)
    assert suite.checked(settings).measurements == ("synced",)
    with pytest.raises(AttributeError, match="no attribute 'TABLE'"):
        _ = writes.TABLE
