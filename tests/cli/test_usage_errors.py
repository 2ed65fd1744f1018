"""A mistake on a command line is reported in one line, by every program alike."""

import argparse
import runpy
import sys

import pytest
from app_runs import APPS

from parsl_tl.arguments import positive_float, positive_int
from parsl_tl.cli import main
from parsl_tl.cli.program import build_parser

SCRIPTS = sorted(path.name for path in APPS.glob("*.py"))


def commands(parser, words=()):
    """Gives the words of every command and action of the program."""
    getattr(parser, "add_actions", lambda: None)()  # those that are added when they are needed
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        return [words]
    return [c for name, p in below[0].choices.items() for c in commands(p, (*words, name))]


@pytest.mark.parametrize("words", commands(build_parser()), ids=" ".join)
def test_every_command_tells_a_mistake_in_one_line(words, capsys):
    try:
        code = main([*words, "a", "b", "c", "--no-such-option"])
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr().err
    assert code == 2
    assert told.count("\n") == 1
    assert told.startswith(f"parsl-tl {' '.join(words)}: error: ") or told.startswith(
        "parsl-tl: error: unrecognized arguments: "
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_tells_a_mistake_in_one_line(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(APPS / name), "--no-such-option"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.argv[0], run_name="__main__")
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.count("\n") == 1, told
    assert told.startswith(f"{name}: error: ")
    assert told.endswith(f"(see {name} --help)\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--max-evals", "x"], "--max-evals: 'x' is no whole number of at least 1"),
        (["--max-evals", "0"], "--max-evals: '0' is no whole number of at least 1"),
        (["--timeout", "-3"], "--timeout: '-3' is no positive number"),
        (["--learning-rate", "nan"], "--learning-rate: 'nan' is no positive number"),
        ([], "the following arguments are required: --out"),
    ],
)
def test_the_sentence_names_the_value(arguments, told, capsys):
    with pytest.raises(SystemExit):
        main(["search", *arguments])
    assert told in capsys.readouterr().err


def test_what_numbers_are_read_as():
    assert (positive_int("12"), positive_float("1e-3")) == (12, 1e-3)
