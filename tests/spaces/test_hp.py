"""hp answers as Keras Tuner's does, and ranges are drawn from grids."""

import numpy as np
import pytest

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.hp import HyperParameters
from parsl_tl.spaces.hp_values import MAX_INTS, NUM_FLOATS, float_values, int_values


def test_integers():
    assert int_values("x", 2, 5, None, "linear", None) == [2, 3, 4, 5]
    assert int_values("x", 32, 128, 32, None, None) == [32, 64, 96, 128]
    assert int_values("x", 8, 100, 2, "log", None) == [8, 16, 32, 64]
    assert int_values("x", 3, 20, 7, "linear", 5) == [3, 5, 10, 17]
    wide = int_values("x", 1, 10_000, None, "log", None)
    assert (wide[0], wide[-1]) == (1, 10_000)
    assert len(wide) <= MAX_INTS
    assert len(int_values("x", 1, 1000, None, "linear", None)) == MAX_INTS
    assert len(int_values("x", 1, 1000, 1, "linear", None)) == 1000


def test_floats():
    assert float_values("x", 0, 0.5, 0.1, "linear", None) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert float_values("x", 1e-4, 1e-1, 10, "log", None) == [1e-4, 1e-3, 1e-2, 1e-1]
    linear = float_values("x", 0, 1, None, "linear", None)
    assert len(linear) == NUM_FLOATS
    assert np.ptp(np.diff(linear)) < 1e-3
    reverse = float_values("x", 1, 100, None, "reverse_log", 3.0)
    assert reverse == sorted(reverse)
    assert 3.0 in reverse


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda hp: hp.Int("x", 5, 1), "above max_value"),
        (lambda hp: hp.Int("x", 1.5, 3), "hp.Float"),
        (lambda hp: hp.Int("x", 1, 3, step=0), "never gets"),
        (lambda hp: hp.Int("x", 1, 3, default=9), "default 9"),
        (lambda hp: hp.Float("x", 0, 1, sampling="log"), "positive"),
        (lambda hp: hp.Float("x", 1, 2, sampling="cubic"), "linear, log, reverse_log"),
        (lambda hp: hp.Float("x", 0, 1, step=1e-6), "widen its step"),
        (lambda hp: hp.Choice("x", []), "has the values"),
        (lambda hp: hp.Choice("x", [(1, 2)]), "texts, numbers or booleans"),
        (lambda hp: hp.Choice("x", [1, 2], default=3), "the default 3"),
    ],
)
def test_ranges_that_hold_nothing(ask, told):
    with pytest.raises(SpaceError, match=told):
        ask(HyperParameters())


def test_defaults_and_chosen_values():
    def ask(hp):
        return [
            hp.Int("depth", 2, 4),
            hp.Float("rate", 0.1, 0.5, step=0.2),
            hp.Choice("kind", ["a", "b"], default="b"),
            hp.Boolean("norm"),
            hp.Fixed("units", 7),
        ]

    assert ask(HyperParameters()) == [2, 0.1, "b", False, 7]
    hp = HyperParameters({"depth": 4, "kind": "a", "norm": True})
    assert ask(hp) == [4, 0.1, "a", True, 7]
    assert hp.get("kind") == hp["kind"] == hp.values["kind"] == "a"
    assert "units" in hp
    assert hp.asked == ["depth", "rate", "kind", "norm"]  # there is nothing to choose in Fixed
    with pytest.raises(KeyError, match="nope"):
        hp.get("nope")


def test_conditional_scopes():
    hp = HyperParameters({"kind": "b"})
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        assert hp.Int("of_a", 1, 3) is None
        assert hp.Fixed("fixed", 3) is None
    assert hp.Int("of_b", 1, 3, parent_name="kind", parent_values=["b", "c"]) == 1
    assert hp.is_active("of_b")
    assert not hp.is_active("of_a")
    with pytest.raises(ValueError, match="of_a is currently inactive"):
        hp.get("of_a")
    with pytest.raises(ValueError, match="nope"), hp.conditional_scope("nope", [1]):
        pass


def test_one_name_with_several_definitions():
    hp = HyperParameters({"kind": "b", "units if kind=b": 64})
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        assert hp.Choice("units", [8, 16]) is None
    with hp.conditional_scope("kind", ["b"]):
        assert hp.Choice("units", [32, 64]) == 64
        assert hp.get("units") == 64
    assert list(hp.definitions) == ["kind", "units", "units if kind=b"]
    assert hp.Choice("kind", ["x", "y"]) == "b"  # the first definition holds


def test_name_scopes():
    hp = HyperParameters()
    with hp.name_scope("block"), hp.name_scope("conv"):
        hp.Int("filters", 4, 8)
        assert hp.get("filters") == 4
    assert list(hp.values) == ["block/conv/filters"]


def test_what_was_not_found_is_refused():
    known = HyperParameters()
    known.Int("units", 4, 8)
    hp = HyperParameters({}, known.definitions, is_complete=True)
    assert hp.Int("units", 4, 8) == 4
    with pytest.raises(SpaceError, match=r"asks for 'unit'.*'units'"):
        hp.Int("unit", 4, 8)
