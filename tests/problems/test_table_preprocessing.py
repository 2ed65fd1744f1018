"""What a table went through is kept, and new rows go through the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from parsl_tl.errors import ProblemError
from parsl_tl.problems import TablePreprocessing
from parsl_tl.problems.csv_table import CsvTable

ROWS = 300


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": random.normal(50, 10, ROWS).round(3),
            "rooms": random.integers(1, 9, ROWS),
            "color": random.choice(
                ["red", "green", "blue", "mauve"], ROWS, p=[0.4, 0.3, 0.29, 0.01]
            ),
            "garden": random.random(ROWS) > 0.5,
            "sold": pd.date_range("2020-01-01", periods=ROWS, freq="7h"),
            "row_id": np.arange(ROWS),
            "key": [f"u{i:04x}" for i in range(ROWS)],
        }
    )
    frame["price"] = frame["size"] * 2 + (frame["color"] == "red") * 30
    frame["kind"] = np.where(frame["price"] > 120, "dear", "cheap")
    frame.loc[::17, "size"] = None
    frame.loc[::13, "color"] = None
    path = tmp_path_factory.mktemp("table") / "houses.csv"
    frame.to_csv(path, index=False)
    return path


def prepared(problem: CsvTable, tmp_path: Path) -> TablePreprocessing:
    problem.preprocessing().save(tmp_path / "preprocessing.json")
    return TablePreprocessing.load(tmp_path / "preprocessing.json")


def test_rows_are_encoded_as_those_of_the_model_were(table: Path, tmp_path: Path) -> None:
    problem = CsvTable(file=str(table), target="price", drop="kind", test=0.1)
    data = problem.load()
    known = prepared(problem, tmp_path)
    parts = [data.x_train, data.x_valid, data.x_test]
    rows = {row.tobytes() for row in np.concatenate(parts)}
    options = pa.csv.ConvertOptions(strings_can_be_null=True)
    arrow = pa.csv.read_csv(table, convert_options=options)
    for given in (table, arrow, pd.read_csv(table, parse_dates=["sold"])):
        x = known.transform(given)
        assert x.dtype == np.float32
        assert {row.tobytes() for row in x} == rows
    without_target = pd.read_csv(table, parse_dates=["sold"]).drop(columns=["price", "kind"])
    assert known.transform(without_target.head(1)).tolist() == x[:1].tolist()


def test_predictions_are_read_in_the_units_of_the_table(table: Path, tmp_path: Path) -> None:
    problem = CsvTable(file=str(table), target=["price", "rooms"], drop="kind")
    read = prepared(problem, tmp_path).read_predictions(problem.load().y_valid)
    frame = pd.read_csv(table)
    assert list(read.columns) == ["price", "rooms"]
    np.testing.assert_allclose(read["rooms"], read["rooms"].round(), atol=1e-4)
    assert read["price"].between(frame["price"].min() - 0.1, frame["price"].max() + 0.1).all()

    problem = CsvTable(file=str(table), target="kind", drop="price")
    one_hot = np.eye(2)[problem.load().y_valid]
    read = prepared(problem, tmp_path).read_predictions(one_hot)
    assert read["kind"].tolist() == [["cheap", "dear"][number] for number in one_hot.argmax(1)]


def test_what_is_new_in_new_rows(table: Path, tmp_path: Path) -> None:
    known = prepared(CsvTable(file=str(table), target="price", drop="kind"), tmp_path)
    row = pd.read_csv(table, parse_dates=["sold"]).iloc[[1]]
    rare, unknown = (known.transform(row.assign(color=color)) for color in ("mauve", "teal"))
    assert rare.tolist() == unknown.tolist()
    assert np.isfinite(known.transform(row.assign(size=np.inf, sold=pd.NaT))).all()
    with pytest.raises(ProblemError, match="column 'rooms' is no column of the table"):
        known.transform(row.drop(columns="rooms"))
    with pytest.raises(ProblemError, match="column 'rooms' of the table has values of another"):
        known.transform(row.assign(rooms="many"))


def test_columns_that_look_like_ids_are_kept(table: Path) -> None:
    def kinds(problem: CsvTable) -> dict[str, str]:
        told = problem.data_table()
        assert told is not None
        return dict(zip(told["column"].to_pylist(), told["kind"].to_pylist(), strict=True))

    by_itself = CsvTable(file=str(table), target="price", drop="kind")
    kept = CsvTable(file=str(table), target="price", drop="kind", keep=["row_id", "key"])
    assert [kinds(by_itself)[name] for name in ("row_id", "key")] == ["id", "id"]
    assert [kinds(kept)[name] for name in ("row_id", "key")] == ["number", "category"]
    assert kept.load().x_train.shape[1] > by_itself.load().x_train.shape[1]
    with pytest.raises(ProblemError, match=r"\['kind'\] of keep are in drop"):
        CsvTable(file=str(table), target="price", drop="kind", keep="kind")
    with pytest.raises(ProblemError, match="keep 'rows' is no column"):
        CsvTable(file=str(table), target="price", keep="rows").load()


def test_a_column_of_nothing_cannot_be_kept(tmp_path: Path) -> None:
    lines = [f"{x},ch,{2 * x}" for x in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["x,country,y", *lines]) + "\n")
    with pytest.raises(ProblemError, match=r"'country' of keep cannot be used: always 'ch'"):
        CsvTable(file=str(tmp_path / "t.csv"), target="y", keep="country", task="regression").load()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', "size,price"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ProblemError, match=r"p.json is no preprocessing of a table"):
        TablePreprocessing.load(tmp_path / "p.json")
