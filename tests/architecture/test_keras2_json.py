"""Keras 2 JSON gives the same graphs as Keras 3 JSON of the same models.

``data/keras2_models.json`` and ``data/keras3_models.json`` hold, line by line, ``to_json()`` of the
same models, made by one script that was run with tf-keras 2.21 and with Keras 3.15: whole networks
of the kinds that the search spaces have, then one model for each layer class.
"""

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl import ArchitectureGraph
from parsl_tl.architecture.keras2_json import is_keras2
from parsl_tl.errors import ArchitectureError

DATA = Path(__file__).parents[1] / "data"
KERAS2 = (DATA / "keras2_models.json").read_text().splitlines()
KERAS3 = (DATA / "keras3_models.json").read_text().splitlines()
PAIRS = list(zip(KERAS2, KERAS3, strict=True))


def as_up_to_2_11(value):
    """The same model as older versions wrote it: without modules and shapes."""
    if isinstance(value, dict):
        dropped = ("module", "registered_name", "build_config")
        return {key: as_up_to_2_11(item) for key, item in value.items() if key not in dropped}
    return [as_up_to_2_11(item) for item in value] if isinstance(value, list) else value


def last_class(text):
    return json.loads(text)["config"]["layers"][-1]["class_name"]


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=map(last_class, KERAS3))
def test_equal_models_have_equal_hashes(old, new):
    assert is_keras2(json.loads(old))
    assert not is_keras2(json.loads(new))
    expected = ArchitectureGraph.from_json(new)
    graph = ArchitectureGraph.from_json(old)
    assert graph.layer_names == expected.layer_names
    assert graph == expected
    older = as_up_to_2_11(json.loads(old))
    assert ArchitectureGraph.from_json(json.dumps(older)) == expected
    del older["keras_version"], older["backend"]  # a trace may have kept the rest alone
    assert ArchitectureGraph.from_json(json.dumps(older)) == expected


@pytest.mark.parametrize("old", KERAS2[:5])
def test_what_was_read_can_be_written_and_built(old):
    graph = ArchitectureGraph.from_json(old)
    assert ArchitectureGraph.from_json(graph.to_json()) == graph


def test_keras_builds_what_was_read():
    graph = ArchitectureGraph.from_json(KERAS2[0])
    assert ArchitectureGraph.from_keras(graph.to_keras()) == graph
    older = ArchitectureGraph.from_json(json.dumps(as_up_to_2_11(json.loads(KERAS2[1]))))
    assert ArchitectureGraph.from_keras(older.to_keras()) == older


def test_an_unknown_class_only_differs_by_its_hash():
    document = as_up_to_2_11(json.loads(KERAS2[0]))
    expected = ArchitectureGraph.from_json(KERAS3[0])
    document["config"]["layers"][-1]["class_name"] = "lab>Gate"
    document["config"]["layers"][-1]["config"] = {"name": "gate", "trainable": True, "deep": [1]}
    graph = ArchitectureGraph.from_json(json.dumps(document))
    assert graph.layer_names[:-1] == expected.layer_names[:-1]
    assert graph.layers[-1].class_name == "Gate"
    assert graph.layers[-1].registered_name == "lab>Gate"


def test_what_changes_the_meaning_changes_the_hash():
    def last_hash(**changes):
        document = json.loads(KERAS2[0])
        document["config"]["layers"][-1]["config"].update(changes)
        return int(ArchitectureGraph.from_json(json.dumps(document)).prefix_hashes[-1])

    kinds = [{}, {"units": 2}, {"activity_regularizer": {"class_name": "L2", "config": {"l2": 1}}}]
    kinds += [{"dtype": "float16"}, {"activation": "swish"}, {"activation": "silu"}]
    hashes = [last_hash(**kind) for kind in kinds]
    assert len(set(hashes)) == len(kinds) - 1
    assert hashes[-1] == hashes[-2]  # one function, two names


def test_constants_and_keyword_arguments_are_read():
    document = json.loads(KERAS2[0])
    last = document["config"]["layers"][-1]
    name = last["inbound_nodes"][0][0][0]
    plain = ArchitectureGraph.from_json(json.dumps(document))
    last["inbound_nodes"] = [[[name, 0, 0, {"scale": 2.0, "gate": [name, 0, 0]}]]]
    gated = ArchitectureGraph.from_json(json.dumps(document))
    assert len(gated.layers[-1].calls[0].inputs) == 2
    last["inbound_nodes"] = [[[name, 0, 0, {}], ["_CONSTANT_VALUE", -1, 3.0, {}]]]
    constant = ArchitectureGraph.from_json(json.dumps(document))
    assert len({int(g.prefix_hashes[-1]) for g in (plain, gated, constant)}) == 3
    assert (plain.prefix_hashes[:-1] == constant.prefix_hashes[:-1]).all()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value, path=()):
    """Where the parts of a document stand."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KERAS2[:5] + KERAS3[:5]), st.integers(0, 2**32), VALUES, st.booleans())
def test_wrong_documents_are_refused_and_never_break(text, seed, value, delete):
    document = json.loads(text)
    path = random.Random(seed).choice(list(places(document))[1:])
    target = document
    for key in path[:-1]:
        target = target[key]
    if delete:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    # Much that is wrong does not matter, such as the shape of an input.
    with contextlib.suppress(ArchitectureError):
        graph = ArchitectureGraph.from_json(json.dumps(document))
        assert len(graph.layer_keys) == len(graph)
