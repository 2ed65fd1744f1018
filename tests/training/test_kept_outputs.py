"""Outputs of frozen prefixes that are shared: never another model's, another data's, or torn."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from parsl_tl.problems import Digits
from parsl_tl.problems.data import leaves
from parsl_tl.problems.node_cache import NodeCache
from parsl_tl.training import run_transfer_trainer
from parsl_tl.training.cutting import CutModel
from parsl_tl.training.frozen_prefix import find_frozen_prefix
from parsl_tl.training.kept_outputs import KeptOutputs

DIGITS = Digits()
X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


def model_of(units=(4,), activation="relu", weights=1, skips=False, policy="float32"):
    """A model whose last layer alone is trained; layers are called differently in each."""
    random = np.random.default_rng(weights)
    inputs = tensor = keras.Input((5,))
    joined = []
    for number in units:
        layer = layers.Dense(number, activation=activation, dtype=policy)
        tensor = layer(tensor)
        layer.trainable = False
        layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
        joined.append(tensor)
    if skips and len(joined) > 1:
        tensor = layers.Concatenate(dtype=policy)([layers.Dropout(0.5)(one) for one in joined])
    return keras.Model(inputs, layers.Dense(2)(tensor))


def outputs(model, kept=None):
    return leaves(CutModel(model, find_frozen_prefix(model)).outputs(X, 7, kept))


@pytest.fixture
def kept(tmp_path):
    return lambda part="train", problem=DIGITS: KeptOutputs(
        NodeCache(tmp_path / "cache"), problem, part
    )


def is_hit(model, kept):
    outputs(model, kept)
    return kept.all_found


def test_an_equal_prefix_is_not_computed_again(kept, monkeypatch):
    first = outputs(model_of(), kept())
    monkeypatch.setattr(CutModel, "_run", None)
    (second,) = outputs(model_of(), kept())
    assert second.tobytes() == first[0].tobytes()


def test_what_differs_is_not_found(kept):
    assert not is_hit(model_of((4, 3)), kept())
    assert is_hit(model_of((4, 3)), kept())
    others = [{"weights": 2}, {"activation": "tanh"}, {"policy": "mixed_bfloat16"}]
    for other in others:
        assert not is_hit(model_of((4, 3), **other), kept()), other
    assert not is_hit(model_of((4, 3)), kept("valid"))
    assert not is_hit(model_of((4, 3)), kept(problem=Digits(seed=1)))
    model = model_of((4, 3))
    model.layers[1].weights[0].assign_add(np.full((5, 4), 1e-6))
    assert not is_hit(model, kept())


def test_only_what_is_missing_is_computed(kept, monkeypatch):
    outputs(model_of((4, 3)), kept())
    asked = []
    run = CutModel._run

    def noting(self, inputs, step, wanted):
        asked.extend(tensor.shape[-1] for tensor in wanted)
        return run(self, inputs, step, wanted)

    monkeypatch.setattr(CutModel, "_run", noting)
    found = outputs(model_of((4, 3), skips=True), kept())
    assert asked == [4]
    for one, other in zip(found, outputs(model_of((4, 3), skips=True)), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_torn_file_is_computed_anew(kept, tmp_path):
    (first,) = outputs(model_of(), kept())
    computed = first.tobytes()
    (file,) = (tmp_path / "cache").glob("*/*.npy")
    os.truncate(file, 200)
    (second,) = outputs(model_of(), kept())
    assert second.tobytes() == computed
    assert is_hit(model_of(), kept())


@settings(max_examples=8)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "units": st.lists(st.sampled_from([3, 4]), min_size=1, max_size=3),
                "activation": st.sampled_from(["relu", "tanh"]),
                "weights": st.sampled_from([1, 2]),
                "skips": st.booleans(),
            }
        ),
        min_size=2,
        max_size=4,
    )
)
def test_what_is_found_is_what_would_be_computed(models):
    with tempfile.TemporaryDirectory() as folder:
        for arguments in models:
            shared = outputs(
                model_of(**arguments), KeptOutputs(NodeCache(Path(folder)), DIGITS, "train")
            )
            own = outputs(model_of(**arguments))
            assert [one.tobytes() for one in shared] == [one.tobytes() for one in own]


@pytest.mark.slow
def test_a_child_finds_what_its_sibling_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    common = {
        "problem": "digits",
        "space": "feed-forward",
        "space_args": {"num_layers": 3},
        "store": f"embedded:{tmp_path / 'store'}",
        "training": {"epochs": 2, "cut_prefix": "always"},
    }
    cached = {"node_cache": {"run": "test", "prefix_bytes": 10**8, "data_bytes": 0}}

    def run(model_id, arch_seq, **others):
        job = {"model_id": model_id, "arch_seq": arch_seq, **others}
        result = run_transfer_trainer(job, **common)
        assert result["metadata"]["error"] is None
        return result["objective"], result["metadata"]["prefix_cached"]

    assert run(1, [2, 3, 4], from_scratch=True)[1] is None
    objective, was_cached = run(2, [2, 3, 1], donors="same", **cached)
    assert was_cached is False
    assert run(3, [2, 3, 2], **cached)[1] is True
    # A third child, with and without what is kept.
    assert run(4, [2, 3, 3], **cached) == (run(5, [2, 3, 3])[0], True)
    assert 0 < objective <= 1
