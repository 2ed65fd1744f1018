"""Frozen layers that change all the same: what is stored is what was trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from weights_kept import method_of

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import ArchitectureError
from parsl_tl.problems import Digits
from parsl_tl.store import open_store
from parsl_tl.store.export import load_keras_model
from parsl_tl.training import BaseTrainer, TrainingConfig, TransferTrainer
from parsl_tl.training.freezing import FrozenLayers, may_change
from parsl_tl.transfer import NoTransfer, StoreTransfer
from parsl_tl.transfer.store import disconnect

DIGITS = Digits()


@keras.saving.register_keras_serializable(package="frozen")
class Counting(layers.Layer):
    """Divides by how often it was called in training."""

    def build(self, input_shape: Any) -> None:
        self.calls = self.add_weight(shape=(), initializer="ones", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.calls.assign_add(1.0)
        return inputs / ops.sqrt(self.calls)


@keras.saving.register_keras_serializable(package="frozen")
class Centred(layers.Layer):
    """Keeps a running mean of its own, beside a nested layer that keeps statistics."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = layers.BatchNormalization(momentum=0.5)

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight(
            shape=input_shape[-1:], initializer="zeros", trainable=False, dtype="float32"
        )
        self.inner.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.mean.assign(self.mean * 0.9 + ops.mean(inputs, axis=0) * 0.1)
        return self.inner(inputs - self.mean, training=training)


def plain() -> Any:
    return layers.Dense(24, activation="relu")


def spectral() -> Any:
    return layers.SpectralNormalization(layers.Dense(24, activation="relu"))


def counting() -> Any:
    return Counting()


def centred() -> Any:
    return Centred()


def nested() -> Any:
    inputs = keras.Input((64,))
    return keras.Model(inputs, Counting()(layers.Dense(24)(inputs)))


CHANGING = [spectral, counting, centred, nested]


def candidate(make: Callable[[], Any], width: int) -> keras.Model:
    inputs = keras.Input((64,))
    tensor = layers.Dense(width, activation="relu")(make()(inputs))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(tensor))


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig.for_problem(DIGITS, **{"epochs": 2, "batch_size": 256, **values})


@pytest.fixture
def method(tmp_path: Path) -> Iterator[StoreTransfer]:
    yield StoreTransfer(f"embedded:{tmp_path / 'store'}")
    disconnect()


def predictions(model: keras.Model) -> np.ndarray:
    return np.asarray(model(DIGITS.load().x_valid[:50], training=False))


@pytest.mark.parametrize("make", [*CHANGING, plain])
def test_the_stored_model_is_the_trained_one(
    method: StoreTransfer, make: Callable[[], Any]
) -> None:
    TransferTrainer(config(model_id=1), candidate(make, 16), method).run()
    trainer = TransferTrainer(config(model_id=2, epochs=3), candidate(make, 12), method)
    report = trainer.run()
    assert (report.donor, report.layers_transferred) == (1, 1)
    shared = next(name for name in trainer.graph.layer_names if "Input" not in name)
    with open_store(method.uri) as store:
        owner = store.composition(2)[shared]
        loaded = load_keras_model(store, 2)
    # A counting layer is the child's own; one that stayed as it was is the donor's.
    assert owner == (1 if make is plain else 2)
    assert trainer.model is not None
    np.testing.assert_array_equal(predictions(loaded), predictions(trainer.model))


@pytest.mark.parametrize("kind", ["hdf5", "keras", "safetensors"])
@pytest.mark.parametrize("make", CHANGING)
def test_in_files(tmp_path: Path, kind: str, make: Callable[[], Any]) -> None:
    method = method_of(kind, tmp_path)
    TransferTrainer(config(model_id=1, epochs=1), candidate(make, 16), method).run()
    trainer = TransferTrainer(config(model_id=2, epochs=1), candidate(make, 12), method)
    assert trainer.run().layers_transferred == 1
    loaded = trainer.graph.to_keras()
    got = method.transfer(loaded, trainer.graph, model_id=3)
    assert (got.donor, len(got.layer_names)) == (2, 3)
    assert trainer.model is not None
    np.testing.assert_array_equal(predictions(loaded), predictions(trainer.model))


@pytest.mark.parametrize("make", CHANGING)
def test_the_objective_is_that_of_what_is_kept(make: Callable[[], Any]) -> None:
    model = candidate(make, 12)
    model.layers[1].trainable = False  # its owner froze it, and it changes
    trainer = BaseTrainer(config(epochs=5, learning_rate=0.05), model)
    report = trainer.run()
    data = DIGITS.load()
    predicted = np.asarray(model(data.x_valid, training=False)).argmax(axis=1)
    judged = float((predicted == data.y_valid.argmax(axis=1)).mean())
    assert judged == pytest.approx(report.objective, abs=1e-6)


def test_thawing_gives_back_what_was_trainable() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    inner.layers[0].trainable = False
    frozen = FrozenLayers({"inner": inner}, ["inner"])
    assert inner.trainable_variables == []
    frozen.thaw()
    assert [layer.trainable for layer in inner.layers] == [False, True]
    assert len(inner.trainable_variables) == 2
    assert frozen.changed() == []


def test_a_weight_that_two_layers_share_is_watched() -> None:
    dense = layers.Dense(3)
    wrapper = layers.SpectralNormalization(dense)
    wrapper.build((None, 4))
    frozen = FrozenLayers({"dense": dense, "wrapper": wrapper}, ["dense"])
    assert not may_change(dense)
    wrapper(np.ones((1, 4), np.float32), training=True)
    assert frozen.changed() == ["dense"]


def test_a_model_that_cannot_be_stored_is_refused_before_it_is_trained(
    method: StoreTransfer,
) -> None:
    class WithFiles(layers.Dense):
        def save_assets(self, dir_path: str) -> None:
            (Path(dir_path) / "table").write_text("1")

    inputs = keras.Input((64,))
    model = keras.Model(inputs, WithFiles(10, activation="softmax", name="mine")(inputs))
    trainer = TransferTrainer(config(model_id=1), model, method)
    with pytest.raises(ArchitectureError, match="'mine' of class WithFiles"):
        trainer.run()
    assert trainer.report.epochs == 0
    assert TransferTrainer(config(epochs=1), model, NoTransfer()).run().epochs == 1


def test_a_shared_layer_in_two_places_takes_one_value(
    method: StoreTransfer, caplog: pytest.LogCaptureFixture
) -> None:
    """The donor has two layers where the child has one, alone and in a wrapper."""

    def model(first: Any, second: Any) -> keras.Model:
        inputs = keras.Input((2, 4))
        both = [first(inputs), layers.TimeDistributed(second)(inputs)]
        return keras.Model(inputs, layers.Add()(both))

    donor = model(layers.Dense(3), layers.Dense(3))
    graph = ArchitectureGraph.from_keras(donor)
    names = [name for name in graph.layer_names if "Dense" in name or "Time" in name]
    method.store(donor, graph, names, model_id=1, quality=0.5)
    dense = layers.Dense(3)
    child = model(dense, dense)
    got = method.transfer(child, ArchitectureGraph.from_keras(child), model_id=2)
    assert len(got.layer_names) == 1
    assert "came with another layer" in caplog.text
