"""The fast reader gives what ``ArchitectureGraph.from_json`` gives, or leaves it to decide."""

import contextlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_tl import ArchitectureGraph
from parsl_tl.errors import ArchitectureError
from parsl_tl.graph_meta.line_parser import LineParser

DATA = Path(__file__).parents[1] / "data"
LINES = [
    line
    for name in ("keras2_models.json", "keras3_models.json")
    for line in (DATA / name).read_bytes().splitlines()
]
WHOLE = [*LINES[:5], *LINES[len(LINES) // 2 :][:5]]


def parse(*lines):
    parser = LineParser()
    for line in lines:
        parser.add(line)
    return parser.take(np.arange(len(lines), dtype=np.uint64))


def check(batch, index, graph):
    layers = slice(batch.layer_starts[index], batch.layer_starts[index + 1])
    edges = slice(batch.edge_starts[index], batch.edge_starts[index + 1])
    np.testing.assert_array_equal(batch.keys[layers], graph.layer_keys)
    np.testing.assert_array_equal(batch.edges[edges], graph.edges)


def test_many_lines_at_once(graphs):
    lines = [graph.to_json().encode() + b"\n" for graph in graphs]
    batch = parse(*lines, *LINES, *lines)
    for index, graph in enumerate(graphs):
        check(batch, index, graph)
        check(batch, len(lines) + len(LINES) + index, graph)
    for index, line in enumerate(LINES, len(lines)):
        check(batch, index, ArchitectureGraph.from_json(line))


def renamed(value, names):
    """A document with other names for its layers."""
    if isinstance(value, dict):
        new = {key: renamed(item, names) for key, item in value.items()}
        if value.get("name") in names and ("inbound_nodes" in value or "trainable" in value):
            new["name"] = names[value["name"]]
        return new
    if isinstance(value, list) and [type(item) for item in value] == [str, int, int]:
        return [names.get(value[0], value[0]), *value[1:]]
    return [renamed(item, names) for item in value] if isinstance(value, list) else value


def test_names_do_not_count_and_those_of_other_things_do():
    document = json.loads(WHOLE[5])
    graph = ArchitectureGraph.from_json(WHOLE[5])
    for form in ("float32", "{} float16", 'a "quoted" {}', "ü{}", "x" * 50 + "{}", "activation{}"):
        own = [layer["name"] for layer in document["config"]["layers"]]
        names = {name: form.format(number) + "_" * number for number, name in enumerate(own)}
        check(parse(json.dumps(renamed(document, names)).encode(), WHOLE[5]), 0, graph)
    # Two layers that only differ by their dtype, under names that look like one.
    swapped = WHOLE[5].replace(b'"dense"', b'"float32"')
    other = swapped.replace(b'{"name": "float32"}', b'{"name": "float16"}')
    batch = parse(swapped, other)
    check(batch, 0, graph)
    check(batch, 1, ArchitectureGraph.from_json(other))


@pytest.mark.parametrize("line", WHOLE)
def test_other_ways_to_write_the_same(line):
    document = json.loads(line)
    graph = ArchitectureGraph.from_json(line)
    for text in (
        json.dumps(document, separators=(",", ":")),
        json.dumps(document, indent=1).replace("\n", " "),
        json.dumps(dict(reversed(document.items()))),
    ):
        check(parse(text.encode()), 0, graph)


def test_layers_that_no_output_needs_are_left_out():
    graph = ArchitectureGraph.from_json(WHOLE[5])
    document = json.loads(WHOLE[5])
    own = document["config"]["layers"]
    last = json.loads(json.dumps(own[-1]).replace(own[-1]["name"], "unused"))
    own.append(last)
    assert last["inbound_nodes"]
    check(parse(json.dumps(document).encode()), 0, graph)


def test_a_wrong_line_leaves_the_others_alone():
    parser = LineParser()
    parser.add(LINES[0])
    for wrong in (b"", b"{}", b"[1]", LINES[0][:-100], b"\xff" + LINES[0]):
        with pytest.raises(ArchitectureError):
            parser.add(wrong)
    parser.add(LINES[1])
    assert len(parser) == 2
    batch = parser.take(np.arange(2, dtype=np.uint64))
    check(batch, 1, ArchitectureGraph.from_json(LINES[1]))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 2**32), st.sampled_from(["cut", "double", "swap"]))
def test_damaged_lines_are_read_as_the_careful_reader_reads_them(line, seed, how):
    rng = random.Random(seed)
    first, second = sorted(rng.sample(range(len(line)), 2))
    second = min(second, first + 40)
    if how == "cut":
        damaged = line[:first] + line[second:]
    elif how == "double":
        damaged = line[:second] + line[first:]
    else:
        names = [layer["name"] for layer in json.loads(WHOLE[5])["config"]["layers"]]
        damaged = line.replace(rng.choice(names).encode(), rng.choice(names).encode(), 1)
    expected = None
    with contextlib.suppress(ArchitectureError):
        graph = ArchitectureGraph.from_json(damaged)
        assert len(graph.layer_keys)  # what is wrong inside of a layer is found here
        expected = graph
    if expected is None:
        with pytest.raises(ArchitectureError):
            parse(line, damaged)
    else:
        check(parse(line, damaged), 1, expected)
