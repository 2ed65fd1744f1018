"""What two models have in common, in text and as a picture."""

import re
import zipfile

import numpy as np
import pytest

from parsl_tl import longest_common_prefix
from parsl_tl.analysis.layered_layout import place
from parsl_tl.analysis.model_source import load_model
from parsl_tl.architecture import GraphBuilder
from parsl_tl.population import read_population
from parsl_tl.spaces import get_space
from parsl_tl.spaces.keras_layers import add, concatenate, dense
from parsl_tl.spaces.mutation import random_arch_seq

SPACE = get_space("dense-skip", num_layers=10)


@pytest.fixture(scope="module")
def pair():
    """Two large models that differ in one layer in the middle."""
    arch_seq = random_arch_seq(SPACE, np.random.default_rng(0))
    names = [choice.name for choice in SPACE.choices()]
    other = list(arch_seq)
    other[names.index("layer_6")] = (other[names.index("layer_6")] + 1) % 31
    return [SPACE.build(item, (64,), (10,), "softmax") for item in (arch_seq, other)]


@pytest.fixture
def files(tmp_path, pair):
    """The one as Keras JSON, the other as a .keras file without weights."""
    (tmp_path / "one.json").write_text(pair[0].to_json())
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", pair[1].to_json())
        archive.writestr("model.weights.h5", bytes(1000))
    return tmp_path


def test_names_prefix_and_picture(run_app, files, pair):
    ended = run_app("find_prefix.py", "one.json", "other.keras", "--out", "new/prefix.svg")
    assert ended.returncode == 0, ended.stderr
    prefix = longest_common_prefix(*pair)
    assert 1 < len(prefix) < len(pair[0])
    assert re.findall(r"^  (\S+)$", ended.stdout, re.MULTILINE) == prefix
    assert f"Common prefix: {len(prefix)} layers" in ended.stdout
    for graph in pair:
        for name in graph.layer_names:
            assert name in ended.stdout
    picture = (files / "new" / "prefix.svg").read_text()
    assert picture.count(">Input 64<") == 2
    assert picture.count("#b8e0d2") == 2 * len(prefix) + 1  # the layers, and the legend
    assert "only in this model" in picture
    assert f"{len(pair[0])} layers, {len(prefix)} in the common prefix" in picture
    assert [path.name for path in (files / "new").iterdir()] == ["prefix.svg"]


def test_members_of_a_population(run_app, tmp_path, population):
    ended = run_app("find_prefix.py", f"{population}:3", f"{population}:59", "--out", "p.png")
    assert ended.returncode == 0, ended.stderr
    arch_seqs = read_population(population).arch_seqs()
    space = get_space("dense-skip", num_layers=4)
    graph = space.build(arch_seqs[59].tolist(), (32,), (1,))
    assert graph.layer_names[-1] in ended.stdout
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    # The same members by their Keras JSON: member 30 is the first line of the second part.
    assert load_model(f"{population}:30").graph == load_model(f"{population}/models_1.json:1").graph


def test_what_is_no_model_is_told_in_one_line(refused, files, population):
    whole = (files / "other.keras").read_bytes()
    (files / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (files / "cut.json").write_text((files / "one.json").read_text()[:500])
    (files / "text.txt").write_text("no JSON")
    (files / "deep.json").write_text("[" * 100_000)
    (files / "bytes.json").write_bytes(bytes(range(256)))
    with zipfile.ZipFile(files / "empty.keras", "w"):
        pass
    flipped = bytearray(whole)
    flipped[200] ^= 255  # in config.json, which is stored as it is
    (files / "flipped.keras").write_bytes(flipped)
    lines = f"{population}/models_0.json"

    def message(model, *options):
        return refused("find_prefix.py", model, "one.json", *options)

    assert "missing.json does not exist; name a Keras JSON file" in message("missing.json")
    assert "cut.keras is no complete .keras file" in message("cut.keras")
    assert "flipped.keras is no complete .keras file" in message("flipped.keras")
    assert "without config.json" in message("empty.keras")
    assert "cut.json: this is not JSON" in message("cut.json")
    assert "text.txt: this is not JSON" in message("text.txt")
    assert "deep.json: this is not JSON" in message("deep.json")
    assert "bytes.json: this is not JSON" in message("bytes.json")
    assert "has no member 60; its members are 0 to 59" in message(f"{population}:60")
    assert f"name a member of its population: {population}:0" in message(population)
    assert "holds no population" in message(f"{files}:0")
    assert "has no model in line 31; it has 30" in message(f"{lines}:31")
    assert "lines are counted from 1" in message(f"{lines}:0")
    assert f"holds 30 models, one per line; name one: {lines}:1" in message(lines)
    assert "must end in one of .svg, .png, .pdf" in message("one.json", "--out", "prefix.gif")
    assert "name another folder" in message("one.json", "--out", "one.json/prefix.svg")


def test_an_error_is_one_line_and_exit_code_2(run_app):
    ended = run_app("find_prefix.py", "nowhere.json", "nowhere.json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("find_prefix.py: error: nowhere.json does not exist")
    assert ended.stderr.count("\n") == 1


def test_help(run_app):
    ended = run_app("find_prefix.py", "--help")
    assert ended.returncode == 0
    assert "FOLDER:NUMBER" in ended.stdout


def test_layers_do_not_overlap_and_prefixes_are_level(pair):
    placements = [place(graph) for graph in pair]
    common = set(longest_common_prefix(*pair))
    levels = [
        {name: int(found.level[i]) for i, name in enumerate(graph.layer_names) if name in common}
        for graph, found in zip(pair, placements, strict=True)
    ]
    assert levels[0] == levels[1]
    for graph, found in zip(pair, placements, strict=True):
        for level in range(int(found.level.max()) + 1):
            x = np.sort(found.x[: len(graph)][found.level[: len(graph)] == level])
            assert (np.diff(x) > 0.999).all()
        assert found.x.min() > 0
        assert found.x.max() < found.width
        for (source, target), route in found.routes.items():
            assert (route[0], route[-1]) == (source, target)
            assert np.diff(found.level[route]).tolist() == [1] * (len(route) - 1)


def test_several_inputs_and_twins_have_places():
    builder = GraphBuilder()
    inputs = [builder.input((3,)), builder.input((3,))]
    joined = concatenate(builder, inputs)
    twins = [dense(builder, joined, 4, "relu") for _ in range(2)]
    total = add(builder, [*twins, dense(builder, inputs[0], 4, "linear")])
    graph = builder.build(total)
    found = place(graph)
    assert found.level[: len(graph)].tolist() == [0, 0, 1, 2, 2, 1, 3]
    assert (found.routes[5, 6][0], found.routes[5, 6][-1]) == (5, 6)


@pytest.mark.slow
def test_a_file_that_keras_saved(tmp_path):
    import keras

    inputs = keras.Input((8,))
    outputs = keras.layers.Dense(2)(keras.layers.Dense(3, activation="relu")(inputs))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_text(model.to_json())
    models = [load_model(str(tmp_path / name)) for name in ("model.keras", "model.json")]
    assert models[0].graph == models[1].graph
    assert len(models[0].graph) == 3
