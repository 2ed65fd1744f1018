"""Data: what it takes, what it refuses, and what tells it from other data."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import ProblemError
from parsl_tl.problems import Data, Digits, Problem, get_problem
from parsl_tl.problems.fingerprint import fingerprint
from parsl_tl.spaces.head import Head

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = X.sum(1, keepdims=True)


class Several(Problem):
    name = "several"
    heads = (
        Head(shape=(2,), activation="softmax", name="kind", loss="categorical_crossentropy"),
        Head(shape=(1,), name="size"),
    )

    def __init__(self, **changes):
        super().__init__()
        self.input_shape = {"left": (2,), "right": (1,)}
        self._changes = changes

    def _load(self):
        kind = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 0, 1]]
        parts = {
            "x_train": {"right": Y, "left": X},
            "y_train": {"size": Y, "kind": kind},
            "x_valid": {"left": X, "right": Y},
            "y_valid": (kind, Y),
        }
        return Data(**{**parts, **self._changes})


def test_pandas_and_arrow_are_taken():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True], "c": [0.5, 1.5, 2.5]})
    table = pa.table({"t": [1.0, 2.0, 3.0]})
    data = Data(frame, table, frame, frame["a"])
    assert data.x_train.dtype == np.float32
    assert data.y_train.tolist() == [[1.0], [2.0], [3.0]]
    assert data.y_valid.tolist() == [1, 2, 3]
    frame.loc[0, "a"] = 9
    assert data.x_train[0, 0] == 1


def test_text_columns_are_named():
    frame = pd.DataFrame({"a": [1, 2], "town": ["x", "y"]})
    with pytest.raises(ProblemError, match=r"\['town'\] of a table hold no numbers"):
        Data(frame, Y[:2], frame, Y[:2])


def test_a_test_part_is_checked_like_the_others():
    data = Data(X, Y, X, Y, X[:3], Y[:3])
    assert data.has_test
    assert len(data.part("test")[1]) == 3
    with pytest.raises(ProblemError, match="x_test has 3 rows and y_test has 2"):
        Data(X, Y, X, Y, X[:3], Y[:2])
    with pytest.raises(ProblemError, match="no test part"):
        Data(X, Y, X, Y).part("test")


def test_weights_of_rows_and_classes():
    classes = np.array([0, 1, 1, 2, 0, 1])
    weighted = Data(X, classes, X, classes, class_weights={1: 3.0, 2: 0.5})
    assert weighted.row_weights().tolist() == [1, 3, 3, 0.5, 1, 3]
    one_hot = Data(X, np.eye(3)[classes], X, np.eye(3)[classes], class_weights={1: 3.0, 2: 0.5})
    np.testing.assert_array_equal(one_hot.row_weights(), weighted.row_weights())
    both = Data(X, classes, X, classes, weights_train=np.full(6, 2.0), class_weights={1: 3.0})
    assert both.row_weights().tolist() == [2, 6, 6, 2, 2, 6]
    assert Data(X, Y, X, Y).row_weights() is None
    with pytest.raises(ProblemError, match="one weight a row"):
        Data(X, Y, X, Y, weights_train=np.ones(5))


def test_named_inputs_and_heads():
    data = Several().load()
    assert set(data.x_train) == {"left", "right"}
    with pytest.raises(ProblemError, match=r"are called \['left', 'wrong'\]"):
        Several(x_valid={"left": X, "wrong": Y}).load()
    with pytest.raises(ProblemError, match="holds 1 arrays for 2 heads"):
        Several(y_valid=Y).load()
    with pytest.raises(ProblemError, match="'kind' in y_train"):
        Several(y_train={"kind": Y, "size": Y}).load()


def test_memory_mapped_arrays_stay_mapped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(Data(mapped, Y, X, Y).x_train, np.memmap)


class TestFingerprint:
    def test_same_data_has_the_same_one_everywhere(self):
        assert Digits().fingerprint() == Digits().fingerprint() != 0

    @pytest.mark.parametrize("other", [{"seed": 1}, {"validation": 0.3}, {"one_hot": False}])
    def test_another_split_is_other_data(self, other):
        assert Digits(**other).fingerprint() != Digits().fingerprint()

    def test_another_version_is_other_data(self):
        changed = Digits()
        changed.data_version = "2"
        assert changed.fingerprint() != Digits().fingerprint()

    def test_the_test_part_does_not_count(self):
        with_test = Data(X, Y, X, Y, X, Y)
        assert fingerprint({}, with_test) == fingerprint({}, Data(X, Y, X, Y))

    @given(st.integers(0, 5), st.integers(0, 1))
    def test_every_value_of_small_data_counts(self, row, column):
        changed = X.copy()
        changed[row, column] += 1
        assert fingerprint({}, Data(changed, Y, X, Y)) != fingerprint({}, Data(X, Y, X, Y))

    def test_large_data_is_told_apart_by_its_rows(self):
        large = np.random.default_rng(0).random((3000, 2000), np.float32)
        targets = np.zeros((3000, 1), np.float32)
        one = Data(large[:2000], targets[:2000], large[2000:], targets[2000:])
        other = Data(large[1000:], targets[1000:], large[:1000], targets[:1000])
        assert fingerprint({}, one) != fingerprint({}, other)

    def test_names_of_inputs_count_and_their_order_does_not(self):
        a, b = Several().load(), Several(x_train={"left": X, "right": Y}).load()
        assert fingerprint({}, a) == fingerprint({}, b)


def test_problems_remember_what_they_were_made_with():
    assert get_problem("synthetic", width=4, rows=50).arguments == {"width": 4, "rows": 50}


def test_heads_need_names_of_their_own():
    class Same(Several):
        heads = (Head(shape=(1,)), Head(shape=(2,)))

    with pytest.raises(ProblemError, match="name each once"):
        Same().check_declaration("same")
