"""The lines of models_<part>.json are what Keras writes for the same architecture."""

import json

import pytest

from parsl_tl.benchmarks.suites.generate import build_with_keras
from parsl_tl.population import assembler_for
from parsl_tl.population.draws import random_sequences
from parsl_tl.spaces import get_space


@pytest.mark.parametrize(
    "count",
    [
        5,
        pytest.param(80, marks=pytest.mark.slow),
        pytest.param(500, marks=[pytest.mark.slow, pytest.mark.full]),
    ],
)
@pytest.mark.parametrize("name", ["dense-skip", "feed-forward", "one-layer"])
def test_layer_by_layer_what_keras_writes(name, count):
    keras = pytest.importorskip("keras")
    space = get_space(name)
    sizes = [len(choice.values) for choice in space.choices()]
    rows = random_sequences(sizes, 11, 0, count)
    _, text = assembler_for(space, (32,), (1,)).assemble_with_json(rows)
    for number, (row, line) in enumerate(zip(rows.tolist(), text.splitlines(), strict=True)):
        model = build_with_keras(space.build(row, (32,), (1,)))
        own, theirs = json.loads(line)["config"], json.loads(model.to_json())["config"]
        assert own["layers"] == theirs["layers"]
        # Keras writes lists where the model was made from lists.
        assert own["input_layers"] == theirs["input_layers"][0]
        assert own["output_layers"] == theirs["output_layers"][0]
        if number % 100 == 99:  # Keras keeps what it built; letting go of it takes a while
            keras.backend.clear_session()
    again = keras.models.model_from_json(line)
    assert [layer.name for layer in again.layers] == [
        layer["config"]["name"] for layer in own["layers"]
    ]
