"""The program as a user runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from parsl_tl import open_store
from parsl_tl.cli import main
from parsl_tl.spaces import get_space
from parsl_tl.store import load_keras_model

IDS = (0x1234567890ABCDEF, 0x12FF000000000001)


@pytest.fixture
def folder(tmp_path):
    """A store with a parent and its child."""
    space = get_space("feed-forward", num_layers=2, units=(4, 5, 1), activations=["relu"])
    rng = np.random.default_rng(0)
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        for number, arch in enumerate(([1, 1], [1, 2])):
            graph = space.build(arch, (3,), (2,))
            weights = {
                layer.name: [rng.normal(size=w.shape).astype("f4") for w in layer.weights]
                for layer in graph.to_keras().layers
                if layer.weights
            }
            if number:
                weights.pop(graph.layer_names[1])
            parent = IDS[0] if number else None
            store.put(IDS[number], graph, weights, quality=number / 2, parent=parent)
    return tmp_path / "store"


def test_looking_into_a_store(folder, capsys):
    assert main(["store", "info", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == 2
    assert main(["store", "ls", f"embedded:{folder}", "--sort", "quality"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows] == ["12ff000000000001", "1234567890abcdef"]
    assert main(["store", "show", str(folder), "12ff"]) == 0
    assert "1234567890abcdef" in capsys.readouterr().out
    assert main(["store", "lineage", str(folder), "12ff"]) == 0
    assert capsys.readouterr().out.splitlines()[0].strip() == "1234567890abcdef"
    assert main(["store", "verify", str(folder)]) == 0
    assert "2 models" in capsys.readouterr().out


def test_fingerprints_are_shown_if_a_model_has_one(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["store", "ls", str(folder)]) == 0
    assert "data" not in capsys.readouterr().out
    assert main(["store", "show", str(folder), "12ff"]) == 0
    assert "data        -" in capsys.readouterr().out
    with open_store(f"embedded:{folder}") as store:
        store.put(3, store.graph(IDS[1]), {}, quality=0.1, donor=IDS[1], fingerprint=0xAB << 56)
    assert main(["store", "ls", str(folder), "--sort", "quality"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row.split()[-2] for row in rows] == ["│", "ab000000", "│"]
    assert main(["store", "show", str(folder), "0000000000000003"]) == 0
    assert "data        ab00000000000000" in capsys.readouterr().out


def test_verify_names_what_is_damaged(folder, capsys):
    segment = folder / "segments" / f"{IDS[0]:016x}.seg"
    data = bytearray(segment.read_bytes())
    data[70] ^= 1
    segment.write_bytes(data)
    assert main(["store", "verify", str(folder)]) == 1
    assert f"{IDS[0]:016x}" in capsys.readouterr().out


def test_an_exported_model_predicts_the_same(folder, tmp_path, capsys):
    import keras

    target = tmp_path / "best.keras"
    assert main(["store", "export", str(folder), "12ff", str(target)]) == 0
    inputs = np.random.default_rng(1).normal(size=(5, 3)).astype("f4")
    with open_store(f"embedded:{folder}", read_only=True) as store:
        expected = load_keras_model(store, IDS[1])(inputs)
    np.testing.assert_array_equal(keras.models.load_model(target)(inputs), expected)
    assert main(["store", "export", str(folder), "12ff", str(target)]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["store", "export", str(folder), "12ff", str(target), "--overwrite"]) == 0


def test_retiring_a_model(folder):
    assert main(["store", "retire", str(folder), "1234"]) == 0
    assert main(["store", "export", str(folder), "1234", "x.keras"]) == 2


def test_compacting_gives_space_back(folder, capsys):
    before = sum(path.stat().st_size for path in folder.rglob("*"))
    assert main(["store", "retire", str(folder), "1234"]) == 0
    assert main(["store", "compact", str(folder)]) == 0
    assert "freed" in capsys.readouterr().out
    assert sum(path.stat().st_size for path in folder.rglob("*")) < before
    assert main(["store", "verify", str(folder)]) == 0


def test_the_listings(capsys):
    for command, word in (("spaces", "dense-skip"), ("problems", "digits"), ("configs", "local")):
        assert main([command]) == 0
        assert word in capsys.readouterr().out
    assert main(["spaces", "feed-forward", "--arg", "num_layers=300"]) == 0
    assert "300 choices, 1e+447 architectures" in capsys.readouterr().out
    assert main(["spaces", "dense-skip", "--arg", "num_layers=10"]) == 0
    assert "37 choices" in capsys.readouterr().out


@pytest.mark.slow
def test_a_space_is_tried_for_a_problem(capsys):
    lenet = ["spaces", "lenet", "--problem", "digits", "--draws", "6"]
    assert main([*lenet, "--problem-arg", "flat=false"]) == 0
    told = capsys.readouterr().out
    assert "trained with one batch │ 4" in told
    assert told.count("impossible") == told.count("larger than its input") == 2
    assert main(lenet) == 1
    assert "failed                 │ 6        │ SpaceError: a convolution takes" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["store", "info", "/nowhere"], "does not exist"),
        (["store", "show", "FOLDER", "12"], "give more digits"),
        (["store", "show", "FOLDER", "ffff"], "no model's id starts with"),
        (["store", "show", "FOLDER", "model"], "hexadecimal"),
        (["store", "export", "FOLDER", "12ff", "x.h5"], "must end in .keras"),
        (["store", "export", "FOLDER", "12ff", "/proc/x.keras"], "cannot be written"),
        (["store", "export", "FOLDER", "12ff", "a" * 300 + ".keras"], "cannot be written"),
        (["analyze", "prefix", "/nowhere", "/nowhere"], "/nowhere does not exist"),
        (["analyze", "birthday", "--trials", "1"], "--trials 1 must be at least 2"),
        (["analyze", "evolution", "/nowhere"], "/nowhere is no folder"),
        (["spaces", "nope"], "no search space is called"),
        (["spaces", "--problem", "digits"], "write parsl-tl spaces NAME --problem digits"),
        (["spaces", "dense-skip", "--arg", "x"], "name=value"),
        (["search", "--out", "OUT", "--space", "dense-skip"], "--problem is needed"),
        (
            ["search", "--out", "OUT", "--problem", "digits", "--space", "x"],
            "no search space is called",
        ),
        (["search", "--out", "OUT", "--resume"], "holds no campaign"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error(folder, tmp_path, capsys, arguments, message):
    places = {"FOLDER": str(folder), "OUT": str(tmp_path / "out")}
    assert main([places.get(word, word) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("parsl-tl: error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        *([], ["search"], ["store"], ["store", "ls"], ["spaces"], ["problems"], ["configs"]),
        *(["analyze", action] for action in ("prefix", "birthday", "evolution")),
    ],
)
def test_every_command_explains_itself(command):
    run = subprocess.run(
        [sys.executable, "-m", "parsl_tl.cli", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage: " in run.stdout
