"""Tables of all file formats, columns of all kinds, and what is wrong with some."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from problem_checks import check_parts, train_one_batch

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import LEAST_BYTES
from parsl_tl.problems.csv_table import CsvTable

ROWS = 400


def make_frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row_id": np.arange(ROWS),
            "size": random.normal(50, 10, ROWS),
            "rooms": random.integers(1, 9, ROWS),
            "color": random.choice(["red", "green", "blue"], ROWS),
            "garden": random.random(ROWS) > 0.5,
            "sold": pd.date_range("2020-01-01", periods=ROWS, freq="7h"),
            "country": "ch",
            "nothing": [None] * ROWS,
            "key": [f"u{i:04x}" for i in range(ROWS)],
            "note": [f"a long text about house number {i}" for i in range(ROWS)],
        }
    )
    frame["price"] = frame["size"] * 2 + (frame["color"] == "red") * 30
    frame["sort"] = np.where(frame["price"] > frame["price"].median(), "dear", "cheap")
    frame.loc[::17, "size"] = np.nan
    frame.loc[::13, "color"] = None
    return frame


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "houses.csv"
    make_frame().to_csv(path, index=False)
    return path


def told(problem: CsvTable) -> dict[str, tuple[str, int, str]]:
    described = problem.data_table()
    assert described is not None
    return {
        row["column"]: (row["kind"], row["missing"], row["use"]) for row in described.to_pylist()
    }


class TestRegression:
    def test_shapes_recipe_and_one_batch(self, table: Path) -> None:
        problem = CsvTable(file=str(table), target="price", drop="sort")
        assert (problem.output_shape, problem.loss, problem.objective) == ((1,), "mse", "val_r2")
        assert problem.input_shape == (2 + 4 + 2 + 4,)  # numbers, date, boolean, colors
        data = problem.load()
        assert data.x_train.dtype == np.float32
        assert len(data.x_train) == 0.8 * ROWS
        check_parts(data, test=False)
        train_one_batch(problem)

    def test_every_column_is_told(self, table: Path) -> None:
        columns = told(CsvTable(file=str(table), target="price", drop=["sort"]))
        kinds = {name: kind for name, (kind, _, _) in columns.items()}
        assert kinds == {
            "price": "target, regression",
            "row_id": "id",
            "size": "number",
            "rooms": "number",
            "color": "category",
            "garden": "boolean",
            "sold": "date",
            "country": "constant",
            "nothing": "empty",
            "key": "id",
            "note": "text",
            "sort": "dropped",
        }
        assert columns["color"][1] > 0
        assert "(missing), blue, green, red" in columns["color"][2]
        assert "median where missing" in columns["size"][2]
        assert columns["country"][2] == "left out: always 'ch'"

    def test_only_training_rows_are_fitted(self, table: Path) -> None:
        problem = CsvTable(file=str(table), target="price")
        data = problem.load()
        np.testing.assert_allclose(data.y_train.mean(), 0, atol=1e-5)
        np.testing.assert_allclose(data.y_train.std(), 1, atol=1e-5)
        assert abs(data.y_valid.mean()) > 1e-5
        numbers = data.x_train[:, :2]
        np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-5)
        ((mean, scale),) = problem.target_scale
        prices = np.concatenate([data.y_train, data.y_valid])[:, 0] * scale + mean
        np.testing.assert_allclose(np.sort(prices), np.sort(make_frame()["price"]), rtol=1e-5)

    def test_several_targets(self, table: Path) -> None:
        problem = CsvTable(file=str(table), target=["price", "rooms"])
        assert problem.output_shape == (2,)
        assert problem.load().y_valid.shape == (80, 2)
        train_one_batch(problem)


class TestClassification:
    def test_every_part_has_its_share_of_each_class(self, table: Path) -> None:
        problem = CsvTable(file=str(table), target="sort", test=0.1)
        assert problem.classes == ["cheap", "dear"]
        assert (problem.output_shape, problem.output_activation) == ((2,), "softmax")
        data = problem.load()
        for y, rows in ((data.y_train, 280), (data.y_valid, 80), (data.y_test, 40)):
            assert len(y) == rows
            assert y.mean() == pytest.approx(0.5, abs=0.01)
        check_parts(data, test=True)
        train_one_batch(problem)

    @pytest.mark.parametrize(
        ("values", "task", "classes"),
        [
            ([0, 1] * 50, "auto", ["0", "1"]),
            ([0.0, 1.0] * 50, "auto", ["0", "1"]),
            ([True, False] * 50, "auto", ["False", "True"]),
            (list(range(100)), "auto", []),
            ([0.5, 1.5] * 50, "auto", []),
            ([0, 1] * 50, "regression", []),
            ([0.5, 1.5] * 50, "classification", ["0.5", "1.5"]),
        ],
    )
    def test_the_task(self, values: list[Any], task: str, classes: list[str], tmp_path: Path):
        path = tmp_path / "table.csv"
        pd.DataFrame({"x": np.arange(100) * 0.1, "y": values}).to_csv(path, index=False)
        assert CsvTable(file=str(path), target="y", task=task).classes == classes

    def test_a_class_of_one_row_is_trained_with(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        labels = ["a"] * 50 + ["b"] * 49 + ["rare"]
        pd.DataFrame({"x": np.arange(100) * 0.1, "y": labels}).to_csv(path, index=False)
        data = CsvTable(file=str(path), target="y").load()
        assert (data.y_train == 2).sum() == 1

    def test_rows_without_a_target_are_left_out_and_told(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        labels = ["a", "b", None, "a"] * 25
        pd.DataFrame({"x": np.arange(100) * 0.1, "y": labels}).to_csv(path, index=False)
        problem = CsvTable(file=str(path), target="y")
        assert len(problem.load().y_train) + len(problem.load().y_valid) == 75
        assert "25 rows without it are left out" in told(problem)["y"][2]


class TestCategories:
    def test_rare_and_unseen_ones_are_one(self, tmp_path: Path) -> None:
        train, test = tmp_path / "train.csv", tmp_path / "test.csv"
        names = np.array([f"n{i}" for i in range(30)])
        # Later names are rarer: of 6 that are told apart, the sixth stands for all others.
        drawn = names[np.minimum(np.random.default_rng(0).geometric(0.3, 1000), 30) - 1]
        pd.DataFrame({"c": drawn, "y": np.arange(1000) * 0.5}).to_csv(train, index=False)
        pd.DataFrame({"c": ["n0", "new", "n29"], "y": [0.0, 1.0, 2.0]}).to_csv(test, index=False)
        problem = CsvTable(file=str(train), target="y", test=str(test), max_categories=6)
        assert problem.input_shape == (6,)
        first, unseen, rare = problem.load().x_test
        np.testing.assert_array_equal(unseen, rare)
        assert not np.array_equal(first, rare)
        assert unseen.sum() == 1

    def test_a_test_file_with_other_columns(self, table: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.csv"
        make_frame().rename(columns={"size": "sise"}).to_csv(other, index=False)
        with pytest.raises(ProblemError, match=r"column 'size' is no column of .*other.csv"):
            CsvTable(file=str(table), target="price", test=str(other)).load()


class TestFormats:
    @pytest.mark.parametrize(
        "suffix", [".parquet", ".feather", ".csv.gz", ".tsv", ".semicolon.csv"]
    )
    def test_they_give_the_same_rows(self, suffix: str, table: Path, tmp_path: Path) -> None:
        path = tmp_path / f"houses{suffix}"
        frame = pd.read_csv(table, parse_dates=["sold"])
        if suffix == ".parquet":
            frame.to_parquet(path)
        elif suffix == ".feather":
            frame.to_feather(path)
        elif suffix == ".csv.gz":
            path.write_bytes(gzip.compress(table.read_bytes()))
        else:
            frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ";")
        expected = CsvTable(file=str(table), target="price").load()
        found = CsvTable(file=str(path), target="price").load()
        np.testing.assert_allclose(found.x_train, expected.x_train, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.y_valid, expected.y_valid, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "arguments", "match"),
    [
        ("", {}, r"t.csv is empty"),
        ("\0\1\2,\n", {}, r"t.csv is no text"),
        ("just words\nand more\n", {}, r"t.csv is no table"),
        ("a,y\n", {}, r"t.csv has a line of names and no rows"),
        ("1,2\n3,4\n", {}, r"first line of .*t.csv holds numbers"),
        ("a,y,a\n1,2,3\n", {}, r"t.csv has more than one column 'a'"),
        ("a,y\n1,2\n3,4,5\n", {}, r"t.csv cannot be read as a table: .*Expected 2 columns"),
        (
            "price,b\n1,2\n",
            {"target": "prise"},
            r"target 'prise' .*\(did you mean 'price'\?\)",
        ),
        ("a,y\n1,2\n", {"drop": ["b"]}, r"drop 'b' is no column of .*t.csv"),
        ("a,y\n" + "1,one\n" * 9, {}, r"target 'y' of .*t.csv has one class only, 'one'"),
        ("a,y\n1,p\n2,q\n", {}, r"target 'y' of .*t.csv has as many classes as rows"),
        ("a,y\n1,p\n2,q\n2,q\n", {"task": "regression"}, r"target 'y' of .*t.csv holds no numbers"),
        ("a,y\n1,5\n2,5\n", {"task": "regression"}, r"target 'y' of .*t.csv is always 5"),
        ("a,y\n1,\n2,\n", {}, r"no row of .*t.csv has a value of target y"),
        ("a,y\n" + "7,0.5\n7,1.5\n" * 20, {}, r"no column of .*t.csv is left .*a: always 7"),
        ("a,y\n1,p\n2,p\n3,q\n4,q\n", {}, r"rows for validation leave a part empty or too small"),
    ],
)
def test_what_is_wrong_is_told(text: str, arguments: dict[str, Any], match: str, tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ProblemError, match=match):
        CsvTable(file=str(path), **{"target": "y", **arguments}).load()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"file": "hauses.csv"}, r"there is no file .*hauses.csv \(did you mean 'houses.csv'\?\)"),
        ({"file": "."}, "is a folder; name one file"),
        ({"test": "none.csv"}, "test: there is no file"),
        ({"test": 1.5}, "test is 1.5; it must be between 0 and 1"),
        ({"task": "guess"}, "task is 'guess'; it must be one of auto, "),
        ({"target": []}, "name one column"),
        ({"target": ["a", "b"], "task": "classification"}, "name one column"),
        ({"max_categories": 1}, "at least 2"),
    ],
)
def test_arguments(arguments: dict[str, Any], match: str, table: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(table.parent)
    with pytest.raises(ProblemError, match=match):
        CsvTable(**{"file": table.name, "target": "price", **arguments})


def test_parts_that_leave_nothing_to_train_with(table: Path) -> None:
    with pytest.raises(ProblemError, match="leave no rows to train with"):
        CsvTable(file=str(table), target="price", validation=0.5, test=0.5).load()


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("name,y\nZürich,1\nBern,2\n".encode("latin-1"))
    with pytest.raises(ProblemError, match=r"column 'name' of .*t.csv is no UTF-8"):
        CsvTable(file=str(path), target="y").load()


def test_a_file_with_the_wrong_suffix(table: Path, tmp_path: Path) -> None:
    path = tmp_path / "houses.parquet"
    path.write_bytes(table.read_bytes())
    with pytest.raises(ProblemError, match=r"houses.parquet cannot be read as a table"):
        CsvTable(file=str(path), target="price").load()


def test_a_large_table_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.csv"
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(6000, 10)), columns=[f"x{i}" for i in range(10)])
    frame["kind"] = np.where(frame["x0"] > 0, "plus", "minus")
    frame.to_csv(path, index=False)
    assert path.stat().st_size > LEAST_BYTES
    first = CsvTable(file=str(path), target="kind", test=0.1)
    expected = first.load()
    monkeypatch.setattr("parsl_tl.problems.csv_table.read_table", None)
    again = CsvTable(file=str(path), target="kind", test=0.1)
    assert (again.classes, again.input_shape) == (["minus", "plus"], (10,))
    assert again.data_table() == first.data_table()
    data = again.load()
    assert isinstance(data.x_train, np.memmap)
    np.testing.assert_array_equal(data.x_test, expected.x_test)
    assert again.fingerprint() == first.fingerprint()
    with pytest.raises(ProblemError, match="NoneType"):  # another split is another entry
        CsvTable(file=str(path), target="kind", test=0.1, seed=1).load()
