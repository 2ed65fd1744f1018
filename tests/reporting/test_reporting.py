"""Tables, files and plots that every benchmark writes."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from parsl_tl.reporting import frame_plots, machine, tables

ROWS = [{"way": "index", "models": 1000, "p50": 0.00012345}, {"way": "walk", "exact": True}]


def test_a_table_shows_all_columns_of_all_rows():
    out = io.StringIO()
    tables.print_table("Queries", ROWS, Console(file=out, width=100))
    for word in ("Queries", "way", "models", "p50", "exact", "1,000", "0.0001234", "yes"):
        assert word in out.getvalue()


def test_rows_are_the_same_in_both_files(tmp_path):
    csv, parquet = tables.write_rows(ROWS, tmp_path / "new", "queries")
    assert csv.name == "queries.csv"
    assert pd.read_csv(csv)["models"][0] == 1000
    assert pd.read_parquet(parquet)["way"].tolist() == ["index", "walk"]


def test_a_plot_is_a_file(tmp_path):
    pytest.importorskip("matplotlib")
    path = frame_plots.save_plot(
        tmp_path / "plots" / "line.png", lambda axes: axes.plot([1, 2], [3, 4])
    )
    assert path.read_bytes().startswith(b"\x89PNG")


def test_machine_facts_are_beside_the_results(tmp_path):
    facts = json.loads(machine.write_machine_facts(tmp_path).read_text())
    assert facts == machine.machine_facts()
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 2**28
    assert facts["packages"]["numpy"] == np.__version__
    assert {"cpu", "kernel", "python"} <= set(facts)


def test_percentiles_are_in_the_unit_that_went_in():
    assert tables.percentiles(list(range(101))) == {"p50": 50.0, "p99": 99.0}
