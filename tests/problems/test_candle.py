"""CANDLE's problems, with small files of the published forms."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from problem_checks import train_one_batch

from parsl_tl.errors import ProblemError
from parsl_tl.problems import get_problem
from parsl_tl.problems.attn import Attn
from parsl_tl.problems.combo import Combo
from parsl_tl.problems.nt3 import NT3
from parsl_tl.problems.uno import Uno
from parsl_tl.problems.wide_csv import read_matrix

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARSL_TL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def write_matrix(path: Path, matrix: np.ndarray, end: str = "\n") -> None:
    lines = [",".join([str(int(row[0])), *(f"{value:.6f}" for value in row[1:])]) for row in matrix]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + end)


def nt3_matrix(rows: int, genes: int = 400) -> np.ndarray:
    classes = np.arange(rows) % 2
    return np.concatenate([classes[:, None], RANDOM.normal(0, 9, (rows, genes))], axis=1)


class TestWideCsv:
    @pytest.mark.parametrize("end", ["\n", "", "\r\n"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_a_matrix(self, end: str, packed: bool, tmp_path: Path) -> None:
        matrix = nt3_matrix(30, 2000)
        path = tmp_path / "matrix.csv"
        write_matrix(path, matrix, end)
        if packed:
            content, path = path.read_bytes(), tmp_path / "matrix.csv.gz"
            path.write_bytes(gzip.compress(content))
        np.testing.assert_allclose(read_matrix(path), matrix, atol=1e-5)

    def test_larger_than_one_piece(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("parsl_tl.problems.wide_csv._PIECE_BYTES", 1000)
        matrix = nt3_matrix(30, 60)
        write_matrix(tmp_path / "m.csv", matrix)
        np.testing.assert_allclose(read_matrix(tmp_path / "m.csv"), matrix, atol=1e-5)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("1,2,3\n1,2\n", "line 2 of .*m.csv has 2 fields, the first has 3"),
            ("1,2,3\n1,,3\n", "cannot be read as a matrix of numbers"),
            ("1,2,3\n1,two,3\n", "cannot be read as a matrix of numbers: .*two"),
            ("1,2,3\n\n1,2,3\n", "line 2 of .*m.csv has 1 fields"),
            ("", "m.csv is empty"),
        ],
    )
    def test_what_is_no_matrix(self, text: str, match: str, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text(text)
        with pytest.raises(ProblemError, match=match):
            read_matrix(tmp_path / "m.csv")


class TestNT3:
    def test_as_the_benchmark_scales_it(self, data: Path) -> None:
        train, test = nt3_matrix(40), nt3_matrix(10)
        test[:, 7] *= 100  # the largest values of a gene are in the test file
        write_matrix(data / "nt3" / "nt_train2.csv", train)
        write_matrix(data / "nt3" / "nt_test2.csv", test)
        problem = NT3()
        assert (problem.input_shape, problem.output_shape) == ((400, 1), (2,))
        assert (problem.optimizer, problem.batch_size) == ("adam", 20)
        loaded = problem.load()
        largest = np.abs(np.concatenate([train, test])[:, 1:]).max(axis=0)
        np.testing.assert_allclose(loaded.x_train[..., 0], train[:, 1:] / largest, atol=1e-5)
        np.testing.assert_allclose(loaded.x_valid[..., 0], test[:, 1:] / largest, atol=1e-5)
        np.testing.assert_array_equal(loaded.y_valid.argmax(axis=1), test[:, 0])
        assert not loaded.has_test
        train_one_batch(problem)

    def test_a_validation_part_of_its_own(self, data: Path) -> None:
        write_matrix(data / "nt3" / "nt_train2.csv", nt3_matrix(40))
        write_matrix(data / "nt3" / "nt_test2.csv", nt3_matrix(10))
        loaded = NT3(validation=0.25).load()
        assert [len(y) for y in (loaded.y_train, loaded.y_valid, loaded.y_test)] == [30, 10, 10]
        assert loaded.y_valid.sum(axis=0).tolist() == [5, 5]

    def test_what_is_wrong(self, data: Path) -> None:
        with pytest.raises(ProblemError, match=r"no data in .*nt3 \(no folder\); get it with"):
            NT3().load()
        write_matrix(data / "nt3" / "nt_train2.csv", nt3_matrix(40))
        write_matrix(data / "nt3" / "nt_test2.csv", nt3_matrix(10, 399))
        with pytest.raises(ProblemError, match=r"has 400 genes and .* has 399"):
            NT3().load()
        wrong = nt3_matrix(10)
        wrong[3, 0] = 2
        write_matrix(data / "nt3" / "nt_test2.csv", wrong)
        with pytest.raises(ProblemError, match="must be the class, 0 or 1"):
            NT3().load()


class TestAttn:
    def write(self, path: Path, dtype: str = "f4", **how: Any) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        x = RANDOM.normal(size=(200, 50)).astype(dtype)
        with h5py.File(path, "w") as file:
            for part, rows in (("train", 200), ("val", 60), ("test", 60)):
                file.create_dataset(f"X_{part}", data=x[:rows], **how)
                classes = (np.arange(rows) % 5 == 0).astype(int)
                file.create_dataset(f"Y_{part}", data=np.eye(2)[classes])
        return x

    def test_contiguous_data_is_mapped(self, data: Path) -> None:
        x = self.write(data / "attn" / "training_attn.h5")
        problem = Attn()
        loaded = problem.load()
        assert isinstance(loaded.x_train, np.memmap)
        np.testing.assert_array_equal(loaded.x_train, x)
        assert loaded.class_weights == {0: 0.51869, 1: 13.87746}
        weights = loaded.row_weights()
        assert weights is not None
        np.testing.assert_allclose(weights[:6], [13.87746, *[0.51869] * 4, 13.87746], rtol=1e-6)
        assert (problem.objective, problem.early_stopping_patience) == ("val_auc_pr", 10)
        logs = train_one_batch(problem)
        assert {"accuracy", "auroc", "auc_pr"} <= set(logs)

    @pytest.mark.parametrize("how", [{"compression": "gzip"}, {"dtype": "f8"}])
    def test_other_data_is_copied_as_float32(self, how: dict[str, Any], data: Path) -> None:
        x = self.write(data / "attn" / "top_21_1fold_001.h5", **how)
        loaded = Attn().load()
        assert loaded.x_train.dtype == np.float32
        np.testing.assert_allclose(loaded.x_train, x, rtol=1e-6)

    def test_what_is_wrong(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ProblemError, match=r"neither training_attn.h5 nor"):
            Attn().load()
        self.write(tmp_path / "a.h5")
        with h5py.File(tmp_path / "a.h5", "a") as file:
            del file["Y_val"]
        with pytest.raises(ProblemError, match=r"a.h5 has no array y_val; it has X_test, X_train"):
            Attn(file=str(tmp_path / "a.h5")).load()
        (tmp_path / "b.h5").write_bytes(b"no HDF5")
        with pytest.raises(ProblemError, match=r"b.h5 cannot be read"):
            Attn(file=str(tmp_path / "b.h5")).load()


def save_dict(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, content, allow_pickle=True)
    path.write_bytes(gzip.compress(buffer.getvalue()))


class TestSeveralInputs:
    @pytest.mark.parametrize(
        ("problem", "widths", "loss"),
        [("combo", (5, 7, 7), "mse"), ("uno", (1, 5, 9, 4), "mae")],
    )
    def test_the_published_dict(
        self, problem: str, widths: tuple[int, ...], loss: str, data: Path
    ) -> None:
        inputs = [RANDOM.normal(size=(50, width)) for width in widths]
        y = RANDOM.normal(size=50)
        save_dict(data / problem / f"training_{problem}.npy.gz", {"X": inputs, "y": y})
        save_dict(
            data / problem / f"testing_{problem}.npy.gz",
            {"X": [one[:10] for one in inputs], "y": y[:10]},
        )
        made = get_problem(problem, folder=str(data / problem))
        assert made.input_shape == [(width,) for width in widths]
        assert (made.loss, made.objective) == (loss, "val_r2")
        loaded = made.load()
        assert (len(loaded.y_train), len(loaded.y_valid), len(loaded.y_test)) == (40, 10, 10)
        rows = np.arange(50)
        np.random.RandomState(42).shuffle(rows)  # the published split
        np.testing.assert_allclose(loaded.x_valid[1], inputs[1][rows[40:]], rtol=1e-6)
        np.testing.assert_allclose(loaded.y_train[:, 0], y[rows[:40]], rtol=1e-6)
        train_one_batch(made)

    @pytest.mark.parametrize("form", ["h5", "npz", "npy"])
    def test_named_arrays(self, form: str, tmp_path: Path) -> None:
        arrays = {f"x_train_{i}": RANDOM.normal(size=(20, 3 + i)) for i in range(3)}
        arrays |= {f"x_valid_{i}": RANDOM.normal(size=(6, 3 + i)) for i in range(3)}
        arrays |= {"y_train": RANDOM.normal(size=20), "y_valid": RANDOM.normal(size=6)}
        if form == "h5":
            with h5py.File(tmp_path / "combo.h5", "w") as file:
                for name, array in arrays.items():
                    file[name] = array
        elif form == "npz":
            np.savez(tmp_path / "combo.npz", **arrays)
        else:
            for name, array in arrays.items():
                np.save(tmp_path / f"{name}.npy", array)
        loaded = Combo(folder=str(tmp_path)).load()
        np.testing.assert_allclose(loaded.x_valid[2], arrays["x_valid_2"], rtol=1e-6)
        assert loaded.y_valid.shape == (6, 1)

    def test_what_is_wrong(self, data: Path) -> None:
        with pytest.raises(ProblemError, match=r"neither training_uno.npy.gz nor uno.h5"):
            Uno().load()
        path = data / "uno" / "training_uno.npy.gz"
        rows = np.zeros((5, 2))
        for content, match in (
            ({"X": [rows] * 3, "y": rows}, "X, a list of 4 arrays"),
            ({"X": [rows] * 4, "y": rows[:4]}, "different numbers of rows"),
            ([1, 2], "must hold one dict, not an array of int64"),
            ({"X": Path("/"), "y": rows}, "cannot be read: it names pathlib"),
        ):
            save_dict(path, content)
            with pytest.raises(ProblemError, match=match):
                Uno().load()
        path.write_bytes(b"no gzip")
        with pytest.raises(ProblemError, match=r"training_uno.npy.gz cannot be read"):
            Uno().load()
