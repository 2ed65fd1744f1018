"""Policies of inheritance: which inherited layers are trained when, how fast, and who owns them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Digits
from parsl_tl.store import open_store
from parsl_tl.training import TrainingConfig, TransferTrainer
from parsl_tl.training.inheritance import (
    Stage,
    list_inheritance_policies,
    read_inheritance,
    resolve_policy,
)
from parsl_tl.training.layer_rates import scale_rates
from parsl_tl.transfer import StoreTransfer
from parsl_tl.transfer.store import disconnect

DIGITS = Digits()
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def method(tmp_path: Path) -> Iterator[StoreTransfer]:
    yield StoreTransfer(f"embedded:{tmp_path / 'store'}")
    disconnect()


def chain(*units: int) -> ArchitectureGraph:
    inputs = tensor = keras.Input((64,))
    for width in units:
        tensor = keras.layers.Dense(width, activation="relu")(tensor)
    outputs = keras.layers.Dense(10, activation="softmax")(tensor)
    return ArchitectureGraph.from_keras(keras.Model(inputs, outputs))


def recipe(**values: Any) -> TrainingConfig:
    return TrainingConfig.for_problem(DIGITS, **{"batch_size": 256, **values})


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("freeze", [Stage(NAMES)]),
        ("freeze:0.5", [Stage(NAMES[:3])]),  # of six layers
        ("freeze:0", [Stage()]),
        ("thaw:2", [Stage(NAMES, 2), Stage()]),
        ("thaw:3:0.1", [Stage(NAMES, 3), Stage(rate=0.1)]),
        (
            "thaw-down:2",
            [Stage(NAMES, 2), Stage(NAMES[:2], 2), Stage(NAMES[:1], 2), Stage()],
        ),
        ("slow", [Stage(rate=0.1)]),
        ("slow:0.25", [Stage(rate=0.25)]),
        ("scratch", [Stage()]),
    ],
)
def test_stages(text: str, stages: list[Stage]) -> None:
    assert read_inheritance(text).stages(NAMES, 6) == stages


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("thew:2", "thew:2.*cannot be imported"),
        ("fr", "'fr'.*freeze, scratch, shrink, slow, thaw, thaw-down"),
        ("thaw", "does not take|missing"),
        ("thaw:0", "thaw:0.*at least 1"),
        ("thaw:2.5", "thaw:2.5"),
        ("slow:2", "2.*from 0 to 1"),
        ("freeze:half", "'half'.*from 0 to 1"),
        ("scratch:1", "takes none"),
        ("thaw:1:0.1:3", "3 arguments.*after, rate"),
        ("builtins:list", "no method 'stages'"),
        (2, "must be a text"),
    ],
)
def test_what_is_no_policy(text: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        recipe(inherit=text)


def test_two_policies_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="unfreeze_after=2 means inherit='thaw:2'"):
        recipe(inherit="freeze", unfreeze_after=2)
    assert recipe(unfreeze_after=2).inheritance().stages(NAMES, 4) == [Stage(NAMES, 2), Stage()]
    assert list_inheritance_policies() == [
        *("freeze", "scratch", "shrink", "slow", "thaw", "thaw-down")
    ]


def test_a_share_of_the_learning_rate() -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="old"), keras.layers.Dense(1, name="new")]
    )
    model.compile("adam", "mse")
    model.optimizer.learning_rate = 0.01
    model.optimizer.build(model.trainable_variables)
    scale_rates(model.optimizer, {id(w): 0.1 for w in model.get_layer("old").weights})
    before = [weight.numpy() for weight in model.weights]
    model.fit(np.ones((8, 4)), np.full((8, 1), 5.0), epochs=1, batch_size=8, verbose=0)
    steps = [abs(w.numpy() - old).max() for w, old in zip(model.weights, before, strict=True)]
    assert steps == pytest.approx([0.001, 0.001, 0.01, 0.01], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inherit", "epochs", "owned"),
    [
        *(("thaw-down:1", 2, 2), ("freeze:0.5", 1, 1), ("slow:0.1", 1, 3), ("shrink:0.5", 1, 3)),
        ("scratch", 1, 3),
    ],
)
def test_what_was_trained_by_the_best_epoch_is_owned(
    method: StoreTransfer, inherit: str, epochs: int, owned: int
) -> None:
    """Of three inherited layers, so many are the child's own after these epochs."""
    TransferTrainer(recipe(model_id=1, epochs=1), chain(24, 20, 16), method).run()

    class Rising(Digits):
        """A problem in which every epoch is better than the one before."""

        def score(self, logs: Any) -> float:
            self.seen = getattr(self, "seen", 0) + 1
            return float(self.seen)

    child = TrainingConfig.for_problem(
        Rising(), model_id=2, epochs=epochs, batch_size=256, inherit=inherit
    )
    report = TransferTrainer(child, chain(24, 20, 16, 12), method).run()
    assert report.layers_transferred == (0 if inherit == "scratch" else 3)
    with open_store(method.uri) as store:
        mine = [owner for name, owner in store.composition(2).items() if "Input" not in name]
        assert store.verify().ok
    # The two new layers are the child's own whatever the policy.
    assert mine.count(2) == 2 + owned


@pytest.mark.slow
def test_trainers_of_an_earlier_release(method: StoreTransfer) -> None:
    with pytest.warns(DeprecationWarning, match=r"Late.thaw_after is deprecated.*stages"):

        class Late(TransferTrainer):
            def thaw_after(self) -> int | None:
                return 1

            def thaw(self, model: keras.Model, epoch: int) -> None:
                self.thawed = epoch
                self.kernel = model.layers[1].kernel.numpy()
                super().thaw(model, epoch)

    TransferTrainer(recipe(model_id=1, epochs=1), chain(24), method).run()
    trainer = Late(recipe(model_id=2, epochs=3), chain(24, 20), method)
    report = trainer.run()
    assert (trainer.thawed, report.epochs) == (1, 3)
    with open_store(method.uri) as store:  # it was frozen until then
        np.testing.assert_array_equal(
            store.read(1)[trainer.graph.layer_names[1]][0], trainer.kernel
        )
    assert report.best_epoch > 1
    assert report.bytes_stored == report.bytes_total


@pytest.mark.slow
@pytest.mark.usefixtures("method")  # which disconnects
def test_shrunk_weights_lie_between_those_of_the_donor_and_new_ones(tmp_path: Path) -> None:
    begins, objectives = {}, {}

    class Noting(TransferTrainer):
        def enter(self, stage: Stage, model: keras.Model, epoch: int) -> dict[int, float]:
            rates = super().enter(stage, model, epoch)
            begins[self.config.inherit] = [weight.numpy() for weight in model.trainable_weights]
            return rates

    for number, inherit in enumerate(("scratch", "shrink:0", "shrink:0.25", "shrink:1", "slow:1")):
        own = StoreTransfer(f"embedded:{tmp_path / str(number)}")  # the same donor for all
        TransferTrainer(recipe(model_id=1, epochs=1), chain(24, 20), own).run()
        child = recipe(model_id=2, epochs=2, inherit=inherit, seed=5)
        objectives[inherit] = Noting(child, chain(24, 20, 16), own).run().objective
    assert objectives["shrink:0"] == objectives["scratch"]
    assert objectives["shrink:1"] == objectives["slow:1"]
    new, old = begins["scratch"], begins["shrink:1"]
    assert not np.array_equal(old[0], new[0])
    for one, other, between in zip(old, new, begins["shrink:0.25"], strict=True):
        np.testing.assert_allclose(between, 0.25 * one + 0.75 * other, rtol=1e-6, atol=1e-7)


SOURCE = """
from parsl_tl.training.inheritance import Stage


class LastOnly:
    def __init__(self, kept=1):
        self.kept = kept

    def stages(self, inherited, depth):
        return [Stage(frozen=tuple(inherited[: -self.kept]))]


class Wrong(LastOnly):
    def stages(self, inherited, depth):
        return [Stage(frozen=("nowhere",))]


class Keeping(LastOnly):
    keep = 2
"""


@pytest.mark.slow
def test_a_policy_of_ones_own(method: StoreTransfer, tmp_path: Path) -> None:
    file = tmp_path / "own_policies.py"
    file.write_text(SOURCE)
    TransferTrainer(recipe(model_id=1, epochs=1), chain(24, 20), method).run()
    own = recipe(model_id=2, epochs=1, inherit=f"{file}:LastOnly:1")
    report = TransferTrainer(own, chain(24, 20, 16), method).run()
    assert report.bytes_stored == report.bytes_total - 4 * 65 * 24
    wrong = recipe(model_id=3, epochs=1, inherit=f"{file}:Wrong")
    with pytest.raises(InvalidValueError, match="policy Wrong freezes"):
        TransferTrainer(wrong, chain(24, 20, 14), method).run()
    keeping = recipe(model_id=4, epochs=1, inherit=f"{file}:Keeping")
    with pytest.raises(InvalidValueError, match="keep of policy Keeping is 2; it must be"):
        TransferTrainer(keeping, chain(24, 20, 14), method).run()


def test_a_file_is_named_absolutely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_policy("own.py:Mine:0.5") == f"{tmp_path / 'own.py'}:Mine:0.5"
    assert resolve_policy("thaw:2") == "thaw:2"
