"""Arrays in ``.npz`` files and folders of ``.npy`` files; Khan's genes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problem_checks import check_parts, train_one_batch

from parsl_tl.errors import ProblemError
from parsl_tl.problems.khan import KHAN_FILES, Khan
from parsl_tl.problems.npz import Npz
from parsl_tl.spaces import get_space
from parsl_tl.training.space_trial import try_space

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 5)).astype(np.float32)


def save(folder: Path, **arrays: np.ndarray) -> Npz:
    np.savez(folder / "data.npz", **arrays)
    return Npz(file=str(folder / "data.npz"))


@pytest.mark.parametrize(
    ("y", "loss", "output_shape"),
    [
        (np.arange(60) % 3, "sparse_categorical_crossentropy", (3,)),
        (np.arange(60)[:, None] % 4, "sparse_categorical_crossentropy", (4,)),
        (np.eye(3)[np.arange(60) % 3], "categorical_crossentropy", (3,)),
        (RANDOM.normal(size=60), "mse", (1,)),
        (RANDOM.normal(size=(60, 2)), "mse", (2,)),
    ],
)
def test_targets_tell_the_task(
    y: np.ndarray, loss: str, output_shape: tuple[int, ...], tmp_path: Path
) -> None:
    problem = save(tmp_path, x_train=X, y_train=y)
    assert (problem.loss, problem.output_shape) == (loss, output_shape)
    assert problem.objective == ("val_r2" if loss == "mse" else "val_accuracy")
    data = problem.load()
    assert (len(data.x_train), len(data.x_valid)) == (48, 12)
    check_parts(data, test=False)
    train_one_batch(problem)


def test_parts_that_are_there_and_bytes(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (30, 4, 4, 1)).astype(np.uint8)
    y = np.arange(30) % 2
    problem = save(
        tmp_path,
        **{"x_train": pixels[:20], "y_train": y[:20], "x_val": pixels[20:25], "y_val": y[20:25]},
        **{"x_test": pixels[25:], "y_test": y[25:]},
    )
    data = problem.load()
    assert data.x_train.dtype == np.float32
    np.testing.assert_allclose(data.x_test * 255, pixels[25:], atol=1e-4)
    np.testing.assert_array_equal(data.y_valid, y[20:25])


@pytest.mark.parametrize("form", ["npz", "folder"])
def test_several_inputs_and_targets(form: str, tmp_path: Path) -> None:
    arrays = {
        **{"genes_train": X, "dose_train": X[:, 0], "kind_train": np.arange(60) % 3},
        "Growth_train": X[:, 1],
    }
    if form == "npz":
        np.savez(tmp_path / "data.npz", **arrays)
    else:
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
    file = str(tmp_path / "data.npz" if form == "npz" else tmp_path)
    problem = Npz(file=file, inputs="genes,dose", targets=["growth", "kind"])
    assert problem.input_shape == {"genes": (5,), "dose": (1,)}
    assert [head.shape for head in problem.output_heads()] == [(1,), (3,)]
    assert problem.objective == "-val_loss"
    data = problem.load()
    assert np.bincount(data.y_valid["kind"]).tolist() == [4, 4, 4]
    for part in ("train", "valid"):
        x, y = data.part(part)
        np.testing.assert_array_equal(x["genes"][:, :1], x["dose"])
        np.testing.assert_array_equal(x["genes"][:, 1], y["growth"])
    assert try_space(problem, get_space("one-layer"), 1).trained == 1
    with pytest.raises(ProblemError, match="no array dosis_train"):
        Npz(file=file, inputs=["genes", "dosis"], targets="kind").load()


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ({"inputs": "x,x"}, "name each array once"),
        ({"inputs": "x", "targets": "x"}, "are inputs and targets"),
        ({"targets": []}, "give names, such as targets=first,second"),
    ],
)
def test_names_of_arrays(names: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=match):
        Npz(file=str(tmp_path), **names)


def test_a_folder_is_mapped(tmp_path: Path) -> None:
    for name, array in {"x_train": X, "x_valid": X[:9], "y_train": X, "y_valid": X[:9]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    data = Npz(file=str(tmp_path)).load()
    assert isinstance(data.x_train, np.memmap)
    np.testing.assert_array_equal(data.y_valid, X[:9])


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x_trian": X, "y_train": X}, r"no array x_train \(did you mean 'x_trian'\?\)"),
        ({"x_train": X}, "no array y_train"),
        ({"x_train": X, "y_train": X[:9]}, "60 rows of x_train and 9 of y_train"),
        ({"x_train": X, "y_train": X, "x_test": X}, "has an array x_test, but no y_test"),
        ({"x_train": X, "y_train": -np.ones(60, int)}, "classes are numbered from 0"),
        ({"x_train": X, "y_train": np.array([None] * 60)}, "cannot be read: .*allow_pickle"),
    ],
)
def test_what_is_wrong(arrays: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=match):
        save(tmp_path, **arrays).load()


def test_no_npz(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_text("no zip")
    with pytest.raises(ProblemError, match=r"data.npz cannot be read"):
        Npz(file=str(tmp_path / "data.npz")).load()


def write_khan(folder: Path, classes: int = 4) -> None:
    for name, rows in zip(KHAN_FILES, (40, 40, 12, 12), strict=True):
        if "y" in name:
            lines = ['"x"', *(str(row % classes + 1) for row in range(rows))]
        else:
            lines = [",".join(f'"V{i}"' for i in range(1, 31))]
            lines += [",".join(f"{v:.5f}" for v in row) for row in RANDOM.normal(3, 2, (rows, 30))]
        (folder / name).write_text("\n".join(lines) + "\n")


def test_khan(tmp_path: Path) -> None:
    write_khan(tmp_path)
    problem = Khan(folder=str(tmp_path))
    assert (problem.input_shape, problem.output_shape) == ((30,), (4,))
    data = problem.load()
    assert [len(y) for y in (data.y_train, data.y_valid, data.y_test)] == [30, 10, 12]
    # As they are written: the test part in order, and all rows of the training file.
    x, x_test = (np.loadtxt(tmp_path / KHAN_FILES[i], delimiter=",", skiprows=1) for i in (0, 2))
    np.testing.assert_allclose(data.x_test, x_test, rtol=1e-6)
    rows = np.concatenate([data.x_train, data.x_valid])
    np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(x, axis=0), rtol=1e-6)
    assert set(data.y_train) == {0, 1, 2, 3}
    train_one_batch(problem)
    assert Khan(folder=str(tmp_path), flat=False).input_shape == (30, 1)
    write_khan(tmp_path, classes=5)
    with pytest.raises(ProblemError, match="has classes from 1; they are 1 to 4"):
        Khan(folder=str(tmp_path)).load()
