"""Problems: their data, their shapes, and finding them by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl.errors import ProblemError
from parsl_tl.problems import Data, Digits, Problem, Synthetic, get_problem, list_problems


class Broken(Problem):
    """A problem whose data does not have the shape that it states."""

    name = "broken"
    input_shape = (3,)
    output_shape = (1,)

    def _load(self) -> Data:
        x, y = np.zeros((4, 2), np.float32), np.zeros((4, 1), np.float32)
        return Data(x, y, x.copy(), y.copy())


class Unreadable(Broken):
    """A problem whose file is not there."""

    def _load(self) -> Data:
        raise FileNotFoundError("/nowhere/data.csv")


READY = Synthetic(rows=20, width=2)


def rows(array: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in array}


class TestDigits:
    def test_shapes_and_range(self) -> None:
        data = get_problem("digits").load()
        assert data.x_train.shape == (1437, 64)
        assert data.y_train.shape == (1437, 10)
        assert data.x_valid.shape == (360, 64)
        assert data.x_train.dtype == data.y_train.dtype == np.float32
        assert data.x_train.min() == 0.0
        assert data.x_train.max() == 1.0
        assert (data.y_valid.sum(axis=1) == 1).all()

    def test_split_is_stratified_and_by_seed(self) -> None:
        shares = [Digits(seed=seed).load().y_valid.mean(axis=0) for seed in (0, 1)]
        np.testing.assert_allclose(shares[0], shares[1], atol=0.005)
        np.testing.assert_array_equal(Digits(seed=1).load().x_valid, Digits(seed=1).load().x_valid)
        assert not np.array_equal(Digits(seed=0).load().x_valid, Digits(seed=1).load().x_valid)

    def test_no_validation_row_is_a_training_row(self) -> None:
        data = Digits().load()
        assert not rows(data.x_train) & rows(data.x_valid)

    def test_sparse_labels(self) -> None:
        sparse, one_hot = Digits(one_hot=False), Digits()
        assert sparse.load().y_train.shape == (1437,)
        assert sparse.loss == "sparse_categorical_crossentropy"
        np.testing.assert_array_equal(sparse.load().y_train, one_hot.load().y_train.argmax(axis=1))


class TestSynthetic:
    def test_default_is_the_published_one(self) -> None:
        problem = Synthetic()
        assert (problem.rows, problem.width, problem.seed, problem.validation) == (
            100_000,
            10,
            42,
            0.2,
        )

    @settings(max_examples=15, deadline=None)
    @given(width=st.integers(1, 40), seed=st.integers(0, 1000))
    def test_scaled_by_training_rows_only(self, width: int, seed: int) -> None:
        problem = Synthetic(rows=500, width=width, seed=seed)
        data = problem.load()
        assert problem.input_shape == (width,)
        assert data.x_train.shape == (400, width)
        assert data.y_valid.shape == (100, 1)
        assert data.x_train.dtype == np.float32
        np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(data.y_train.std(axis=0), 1, atol=1e-4)
        # The validation rows did not take part, so theirs are near to that and not equal to it.
        assert not np.allclose(data.x_valid.mean(axis=0), 0, atol=1e-6)

    def test_target_is_the_sum(self) -> None:
        data = Synthetic(rows=1000, width=4).load()
        design = np.hstack([data.x_train, np.ones((800, 1), np.float32)])
        solution, *_ = np.linalg.lstsq(design, data.y_train, rcond=None)
        held_out = np.hstack([data.x_valid, np.ones((200, 1), np.float32)])
        np.testing.assert_allclose(held_out @ solution, data.y_valid, atol=1e-4)


class TestRegistry:
    def test_lists_the_built_in_ones(self) -> None:
        assert {"digits", "synthetic"} <= set(list_problems())

    def test_same_arguments_same_data(self) -> None:
        first = get_problem("synthetic", rows=50, width=3)
        again = get_problem("synthetic", width=3, rows=50)
        assert first is again
        assert first.load() is again.load()
        assert get_problem("synthetic", rows=50, width=4) is not first

    def test_module_and_attribute(self) -> None:
        assert isinstance(get_problem("parsl_tl.problems:Digits", seed=3), Digits)

    @pytest.mark.parametrize(
        ("name", "kwargs", "match"),
        [
            ("digit", {}, "no problem is called 'digit'.*digits, .*synthetic"),
            ("digits", {"sead": 1}, "does not take"),
            ("digits", {"validation": 1.0}, "between 0 and 1"),
            ("digits", {"seed": -1}, "at least 0"),
            ("synthetic", {"width": 0}, "at least 1"),
            ("synthetic", {"rows": {1, 2}}, "JSON-able"),
            ("nowhere:thing", {}, "cannot be imported"),
            ("parsl_tl.problems:nothing", {}, "cannot be imported"),
            ("math:pi", {}, "must be a Problem or make one"),
            ("builtins:dict", {}, "is no parsl_tl.problems.Problem"),
        ],
    )
    def test_what_cannot_be_had(self, name: str, kwargs: dict, match: str) -> None:
        with pytest.raises(ProblemError, match=match):
            get_problem(name, **kwargs)


class TestData:
    def test_shapes_must_agree_with_the_problem(self) -> None:
        with pytest.raises(ProblemError, match="input_shape says"):
            Broken().load()

    def test_unreadable_data(self) -> None:
        with pytest.raises(ProblemError, match=r"cannot be loaded.*nowhere"):
            Unreadable().load()

    def test_rows_must_agree(self) -> None:
        x, y = np.zeros((4, 2)), np.zeros((3, 1))
        with pytest.raises(ProblemError, match="x_train has 4 rows and y_train has 3"):
            Data(x, y, x, x)

    def test_not_finite(self) -> None:
        x, y = np.full((4, 2), np.nan), np.zeros((4, 1))
        with pytest.raises(ProblemError, match="NaN or infinite"):
            Data(x, y, x, y)

    def test_empty(self) -> None:
        with pytest.raises(ProblemError, match="empty"):
            Data(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((0, 1)), np.zeros((0, 1)))

    def test_shared_arrays_cannot_be_written(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            READY.load().x_train[0, 0] = 1.0


class TestScore:
    def test_larger_is_better(self) -> None:
        assert Digits().score({"val_accuracy": 0.5}) == 0.5

        class Loss(Synthetic):
            objective = "-val_loss"

        assert Loss().score({"val_loss": 0.5}) == -0.5

    def test_unknown_objective(self) -> None:
        with pytest.raises(ProblemError, match=r"'val_accuracy'.*\['val_loss'\]"):
            Digits().score({"val_loss": 1.0})
