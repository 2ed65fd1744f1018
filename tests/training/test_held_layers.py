"""Layers that are frozen for a while and thawed without compiling again, where that is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from parsl_tl.problems import Digits
from parsl_tl.store import open_store
from parsl_tl.training import TrainingConfig, TrainingReport, TransferTrainer, held_layers
from parsl_tl.training.freezing import FrozenLayers
from parsl_tl.training.inheritance import Stage
from parsl_tl.transfer import StoreTransfer
from parsl_tl.transfer.store import disconnect

# In one batch, so that the order of rows, which begins anew where a model is compiled anew, does
# not count.
ALL_ROWS = 2048


@pytest.fixture
def method(tmp_path: Path) -> Iterator[StoreTransfer]:
    yield StoreTransfer(f"embedded:{tmp_path / 'store'}")
    disconnect()


def network(*middle: Any, units: int) -> keras.Model:
    keras.utils.set_random_seed(units)
    inputs = keras.Input((64,))
    tensor = layers.Dense(24, activation="relu")(inputs)
    for layer in middle:
        tensor = layer(tensor)
    tensor = layers.Dense(units, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(tensor))


class Watched(TransferTrainer):
    """Counts how often the model was compiled, and keeps the first kernel of each stage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.compiled = 0
        self.kernels: list[np.ndarray] = []

    def enter(self, stage: Stage, model: keras.Model, epoch: int) -> dict[int, float]:
        self.kernels.append(model.layers[1].kernel.numpy())
        return super().enter(stage, model, epoch)

    def _compiled(self, *args: Any, **kwargs: Any) -> Any:
        self.compiled += 1
        return super()._compiled(*args, **kwargs)


def train(
    method: StoreTransfer, model: keras.Model, model_id: int, **values: Any
) -> tuple[Watched, TrainingReport]:
    recipe = TrainingConfig.for_problem(
        Digits(), **{"model_id": model_id, "epochs": 4, "batch_size": ALL_ROWS, "seed": 1, **values}
    )
    trainer = Watched(recipe, model, method)
    return trainer, trainer.run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inherit", "optimizer"),
    [
        ("thaw:2", {"optimizer": "adam"}),
        ("thaw:1:0.1", {"optimizer": "Adam", "clip_norm": 0.1, "schedule": "cosine"}),
        ("thaw:2", {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9, "nesterov": True}}),
        ("thaw:1:0.1", {"optimizer": "rmsprop", "dtype_policy": "mixed_float16"}),
    ],
    ids=["adam", "clipped", "sgd", "mixed"],
)
def test_held_is_frozen(method: StoreTransfer, inherit: str, optimizer: dict[str, Any]) -> None:
    train(method, network(units=16), 1, epochs=1)
    found = []
    for model_id, when in ((2, "off"), (3, "auto")):
        values = {"inherit": inherit, "cut_prefix": when, **optimizer}
        trainer, report = train(method, network(units=12), model_id, **values)
        method.retire(model_id)  # else it would be the next one's donor
        found.append((trainer, report))
    (one, frozen), (other, held) = found
    assert (one.compiled, other.compiled) == (2, 1)
    # The first stage left what came over as it was, to the bit; the second one trained it.
    donor, begun_to_thaw = other.kernels
    np.testing.assert_array_equal(begun_to_thaw, donor)
    assert other.model is not None
    assert not np.array_equal(other.model.layers[1].kernel.numpy(), donor)
    assert held.parameters_trainable == frozen.parameters_trainable < held.parameters_total
    assert held.bytes_stored == frozen.bytes_stored
    tolerance = 2e-2 if "dtype_policy" in optimizer else 1e-5
    for mine, theirs in zip(held.history, frozen.history, strict=True):
        assert mine == pytest.approx(theirs, abs=tolerance)


@pytest.mark.parametrize(
    "middle",
    [
        layers.BatchNormalization,
        lambda: layers.Dense(8, kernel_regularizer="l2"),
        lambda: layers.Dense(8, kernel_constraint="max_norm"),
    ],
    ids=["normalized", "regularized", "constrained"],
)
def test_layers_that_a_rate_of_zero_would_change_stay_frozen(middle: Any) -> None:
    model = network(middle(), units=12)
    by_name = {layer.name: layer for layer in model.layers if layer.weights}
    first, second, *_ = by_name
    frozen = FrozenLayers(by_name, (first, second))
    assert frozen.hold([first, second]) == []
    assert not by_name[first].trainable
    assert not by_name[second].trainable
    assert [id(v) for v in frozen.hold([first])] == [id(v) for v in by_name[first].weights]
    assert by_name[first].trainable


@pytest.mark.parametrize(
    ("values", "worth"),
    [
        ({}, True),
        ({"epochs": 10**7}, False),
        ({"cut_prefix": "off"}, False),
        ({"cut_prefix": "always"}, False),
        ({"optimizer": "adamw"}, False),
        ({"optimizer": "ftrl"}, False),
        ({"optimizer_args": {"weight_decay": 0.01}}, False),
        ({"optimizer_args": {"global_clipnorm": 0.5}}, False),
    ],
)
def test_when_it_is_worth_it(values: dict[str, Any], worth: bool) -> None:
    model = network(units=12)
    model.layers[1].trainable = False
    recipe = TrainingConfig.for_problem(Digits(), **values)
    found = held_layers.is_worth_holding(
        model, recipe, recipe.problem.load(), epochs=recipe.epochs, callbacks=()
    )
    assert found == (worth and keras.backend.backend() == "tensorflow")


@pytest.mark.slow
def test_a_frozen_normalization_is_compiled_twice(method: StoreTransfer) -> None:
    train(method, network(layers.BatchNormalization(), units=16), 1, epochs=1)
    child = network(layers.BatchNormalization(), units=12)
    trainer, report = train(method, child, 2, inherit="thaw:1", epochs=2)
    assert (report.layers_transferred, trainer.compiled) == (2, 2)
    np.testing.assert_array_equal(*trainer.kernels)


@pytest.mark.slow
def test_what_takes_longer_than_to_trace_is_not_held(
    method: StoreTransfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_layers, "_WORK_OF_TRACING", 0)
    train(method, network(units=16), 1, epochs=1)
    trainer, report = train(method, network(units=12), 2, inherit="thaw:2")
    assert trainer.compiled == 2
    assert report.epochs == 4


@pytest.mark.slow
def test_what_ends_before_it_thaws_is_the_donors(method: StoreTransfer) -> None:
    train(method, network(units=16), 1, epochs=1)

    class Fading(Digits):
        """A problem in which only the first epoch counts."""

        def score(self, logs: Any) -> float:
            self.seen = getattr(self, "seen", 0) + 1
            return -float(self.seen)

    recipe = TrainingConfig.for_problem(Fading(), model_id=2, epochs=3, inherit="thaw:2")
    trainer = Watched(recipe, network(units=12), method)
    report = trainer.run()
    assert (trainer.compiled, report.epochs, report.best_epoch) == (1, 3, 1)
    with open_store(method.uri) as store:
        assert store.composition(2)[trainer.graph.layer_names[1]] == 1
        assert store.verify().ok
