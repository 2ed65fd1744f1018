"""Problems that lack something, and data that does not fit what a problem says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsl_tl.errors import ProblemError
from parsl_tl.problems import Data, Problem, get_problem


class Plain(Problem):
    name = "plain"
    input_shape = (3,)
    output_shape = (4,)
    loss = "sparse_categorical_crossentropy"
    targets: Any = np.array([0, 1, 2, 3])

    def _load(self) -> Data:
        x = np.zeros((len(self.targets), 3), np.float32)
        return Data(x, self.targets, x.copy(), self.targets.copy())


class OneHot(Plain):
    loss = "categorical_crossentropy"
    targets = np.eye(4, dtype=np.float32)


class Regression(Plain):
    loss = "mse"
    output_shape = (1,)
    targets = np.zeros((4, 1), np.float32)


class Loading(Plain):
    def _load(self) -> Any:
        return {"train": self.missing}  # type: ignore[attr-defined]


class Nothing(Plain):
    def _load(self) -> Any:
        return None


class WithoutShape(Problem):
    name = "without"
    output_shape = (1,)

    def _load(self) -> Any:
        raise AssertionError


class WithoutName(WithoutShape):
    input_shape = (1,)


class WrongShape(Plain):
    input_shape = 3  # type: ignore[assignment]


class WithoutInit(Plain):
    def __init__(self) -> None:
        self.rows = 3


def made(cls: type[Plain], **attributes: Any) -> Problem:
    return type("Made", (cls,), attributes)()


@pytest.mark.parametrize("cls", [Plain, OneHot, Regression])
def test_targets_that_fit(cls: type[Plain]) -> None:
    assert len(cls().load().y_train) == 4


def test_a_missing_last_axis_fits_as_it_fits_keras() -> None:
    assert made(Regression, targets=np.zeros(4, np.float32)).load().y_train.shape == (4,)
    assert made(Plain, targets=np.array([[0], [3]])).load().y_train.shape == (2, 1)


@pytest.mark.parametrize(
    ("cls", "attributes", "told"),
    [
        (Plain, {"targets": np.array([0, 4])}, "values from 0 to 4.*class numbers from 0 to 3"),
        (Plain, {"targets": np.array([-1, 2])}, "values from -1"),
        (Plain, {"targets": np.array([0.5, 2])}, "class numbers from 0 to 3"),
        (Plain, {"targets": np.eye(4)}, "for one-hot rows use categorical_crossentropy"),
        (OneHot, {"targets": np.eye(5)}, r"shape \(5,\), but output_shape says \(4,\)"),
        (OneHot, {"targets": np.array([0, 1])}, "use sparse_categorical_crossentropy"),
        (Regression, {"targets": np.zeros((4, 2))}, "the loss mse compares the two"),
        (Plain, {"targets": np.array(["cat", "dog"])}, "y_train has the dtype <U3"),
        (Plain, {"targets": np.array([None, 1])}, "y_train has the dtype object"),
        (OneHot, {"targets": np.full((4, 4), np.inf)}, "NaN or infinite"),
        (Loading, {}, "cannot be loaded: AttributeError: .*missing"),
        (Nothing, {}, "loads a NoneType; _load must return"),
    ],
)
def test_data_that_does_not_fit(cls: type[Plain], attributes: dict[str, Any], told: str) -> None:
    with pytest.raises(ProblemError, match=told):
        made(cls, **attributes).load()


def test_lists_are_no_arrays() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ProblemError, match="y_train is a list; it must be a numpy array"):
        Data(x, [0, 1], x, np.zeros(2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        (WithoutShape, "has no input_shape; its class, or its __init__, must set it"),
        (WithoutName, "has no name"),
        (WrongShape, "input_shape of problem .* is 3; it must be a tuple of sizes"),
        (WithoutInit, r"must call super\(\).__init__\(\)"),
    ],
)
def test_what_a_problem_has_to_say(
    cls: type[Problem], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import parsl_tl.problems as anywhere

    monkeypatch.setattr(anywhere, "_under_test", cls, raising=False)
    if cls is WithoutName:
        monkeypatch.delattr(WithoutShape, "name")
    with pytest.raises(ProblemError, match=told):
        get_problem("parsl_tl.problems:_under_test", **{})
