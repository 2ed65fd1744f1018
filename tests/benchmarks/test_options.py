"""Settings as dataclasses: what becomes of them on the command line, and which values may be."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from parsl_tl.benchmarks.core.options import (
    add_options,
    check_values,
    left_out,
    nested,
    option,
    settings_from,
)
from parsl_tl.errors import BenchmarkError, InvalidValueError


@dataclass(frozen=True)
class Inner:
    depth: int = option(1, "how deep", least=0)


@dataclass(frozen=True)
class Settings:
    sizes: tuple[float, ...] = option((1.0, 2.0), "of each", above=0, most=100)
    rates: tuple[int, ...] = option((), "maybe none", least=1, may_be_empty=True)
    ways: tuple[str, ...] | None = option(
        None, "all 100%", choices=("a", "b", "c"), missing=lambda given: {"b": "b is away"}
    )
    kind: str = option("small", "which", flag="--method", choices=("small", "large"))
    folder: Path | None = option(None, "where")
    fast: bool = option(False, "hurry")
    inner: Inner = nested(Inner(depth=3), "inner ones")
    hidden: int = 7

    PRESETS: ClassVar = {"quick": ("less", {"sizes": (1.0,), "hidden": 1})}


def parse(*words):
    parser = argparse.ArgumentParser()
    add_options(parser, Settings())
    return settings_from(parser.parse_args(words), Settings())


def test_fields_are_options():
    assert parse() == Settings()
    found = parse("--sizes", "3", "4.5", "--rates", "--method", "large", "--folder", "x", "--fast")
    assert found == Settings((3.0, 4.5), (), None, "large", Path("x"), True)
    assert parse("--depth", "5").inner == Inner(5)


def test_presets_give_way_to_what_is_asked_for():
    assert parse("--quick") == Settings(sizes=(1.0,), hidden=1)
    assert parse("--quick", "--sizes", "9") == Settings(sizes=(9.0,), hidden=1)


def test_help_tells_defaults(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    told = capsys.readouterr().out
    for words in (
        "--sizes X [X ...]",
        "of each (1.0 2.0)",
        "all 100%",
        "inner ones",
        "how deep (3)",
    ):
        assert words in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--sizes", "1", "0"], InvalidValueError, "sizes=0.0 must be above 0"),
        (["--sizes", "nan"], InvalidValueError, "sizes=nan must be above 0"),
        (["--sizes", "101"], InvalidValueError, "sizes=101.0 must be at most 100"),
        (["--rates", "0"], InvalidValueError, "rates=0 must be at least 1"),
        (["--depth", "-1"], InvalidValueError, "depth=-1 must be at least 0"),
        (["--ways", "z"], InvalidValueError, "unknown way 'z'; choose from a, b, c"),
        (["--ways", "b"], BenchmarkError, "way 'b': b is away"),
        (["--method", "tall"], InvalidValueError, "unknown kind 'tall'; choose from small, large"),
    ],
)
def test_wrong_values_are_named(words, error, message):
    with pytest.raises(error, match=message):
        check_values(parse(*words))


def test_names_come_in_their_order_without_what_is_missing():
    assert check_values(parse()).ways == ("a", "c")
    assert check_values(parse("--ways", "c", "a")).ways == ("a", "c")
    assert dict(left_out(parse())) == {"b": "b is away"}
    assert dict(left_out(parse("--ways", "a"))) == {}
    with pytest.raises(InvalidValueError, match="no way is named"):
        check_values(Settings(ways=()))
    with pytest.raises(InvalidValueError, match="sizes must be one or more"):
        check_values(Settings(sizes=()))
