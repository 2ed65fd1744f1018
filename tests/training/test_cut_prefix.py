"""Where a frozen prefix ends, what crosses its frontier, and when it is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Data, Digits, Problem
from parsl_tl.store import open_store
from parsl_tl.store.export import load_keras_model
from parsl_tl.training import BaseTrainer, TrainingConfig, TransferTrainer
from parsl_tl.training.cutting import CutModel
from parsl_tl.training.frozen_prefix import find_frozen_prefix
from parsl_tl.transfer import StoreTransfer
from parsl_tl.transfer.store import disconnect

DIGITS = Digits()


def frozen(layer: Any) -> Any:
    layer.trainable = False
    return layer


def model_of(*chain: Any, shape: tuple[int, ...] = (64,), units: int = 10) -> keras.Model:
    inputs = tensor = keras.Input(shape)
    for layer in chain:
        tensor = layer(tensor)
    return keras.Model(inputs, layers.Dense(units, activation="softmax")(tensor))


def inside(model: keras.Model) -> list[str]:
    found = find_frozen_prefix(model)
    return [] if found is None else [call.operation.name for call in found.calls]


def dense(name: str, units: int = 8, **kwargs: Any) -> Any:
    return layers.Dense(units, name=name, **kwargs)


def test_the_prefix_ends_before_dropout() -> None:
    model = model_of(
        *(frozen(dense("a")), layers.ReLU(name="r"), frozen(layers.BatchNormalization(name="n"))),
        *(layers.Dropout(0.5), dense("b")),
    )
    assert inside(model) == ["a", "r", "n"]
    assert [tuple(t.shape) for t in find_frozen_prefix(model).frontier] == [(None, 8)]


def test_several_tensors_cross_the_frontier() -> None:
    inputs = keras.Input((6,))
    a = frozen(dense("a", 5))(inputs)
    b = frozen(dense("b", 4))(a)
    joined = layers.Concatenate(name="join")([dense("c", 3)(b), a, inputs])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    prefix = find_frozen_prefix(model)
    assert prefix is not None
    assert sorted(tensor.shape[-1] for tensor in prefix.frontier) == [4, 5, 6]
    assert prefix.row_bytes == 4 * 15
    cut = CutModel(model, prefix)
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    crossing = cut.outputs(x, 7)
    assert any(array is x for array in crossing)
    np.testing.assert_allclose(
        cut.suffix.predict(crossing, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )
    assert {id(w) for w in cut.suffix.trainable_weights} == {id(w) for w in model.trainable_weights}


def test_a_layer_is_called_on_both_sides() -> None:
    shared = frozen(dense("shared", 6))
    model = model_of(shared, dense("b", 6), shared, shape=(6,))
    assert inside(model) == ["shared"]
    prefix = find_frozen_prefix(model)
    assert prefix is not None
    cut = CutModel(model, prefix)
    x = np.ones((4, 6), np.float32)
    found, whole = map(keras.ops.convert_to_numpy, (cut.suffix(cut.outputs(x, 4)), model(x)))
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)


def padded() -> list[Any]:
    pad = layers.ZeroPadding2D(3, name="pad")
    return [frozen(layers.Conv2D(2, 3, name="a")), pad, layers.Conv2D(2, 3), layers.Flatten()]


def tied() -> list[Any]:
    once = frozen(dense("a", 64))
    sequence = [layers.Reshape((1, 64)), layers.TimeDistributed(once), layers.Flatten()]
    sequence[1].trainable = True
    return [once, *sequence]


NOT_INSIDE: dict[str, tuple[Callable[[], list[Any]], tuple[int, ...], list[str]]] = {
    "what makes the frontier larger": (padded, (8, 8, 1), ["a"]),
    "noise": (lambda: [frozen(dense("a")), layers.GaussianNoise(0.1)], (4,), ["a"]),
    "dropout in a frozen layer": (
        lambda: [frozen(layers.LSTM(3, name="a", dropout=0.2))],
        (5, 2),
        [],
    ),
    "recurrent without dropout": (lambda: [frozen(layers.LSTM(3, name="a"))], (5, 2), ["a"]),
    "adds to the loss": (
        lambda: [frozen(dense("a", activity_regularizer="l2"))],
        (4,),
        [],
    ),
    "changes when it is called": (
        lambda: [frozen(layers.SpectralNormalization(dense("a")))],
        (4,),
        [],
    ),
    "trained batch normalization": (
        lambda: [
            frozen(dense("a")),
            layers.BatchNormalization(center=False, scale=False),
            frozen(dense("b")),
        ],
        (4,),
        ["a"],
    ),
    "a function of ones own": (
        lambda: [frozen(dense("a")), layers.Lambda(lambda x: x + 1, output_shape=(8,))],
        (4,),
        ["a"],
    ),
    "rows that know each other": (
        lambda: [frozen(dense("a")), layers.Softmax(axis=0)],
        (4,),
        ["a"],
    ),
    "a mask": (
        lambda: [
            frozen(layers.Embedding(5, 3, mask_zero=True, name="a")),
            layers.LSTM(2),
        ],
        (4,),
        [],
    ),
}


@pytest.mark.parametrize("what", NOT_INSIDE)
def test_what_is_left_to_the_rest(what: str) -> None:
    make, shape, names = NOT_INSIDE[what]
    assert inside(model_of(*make(), shape=shape)) == names


def test_a_weight_that_is_trained_elsewhere() -> None:
    once = frozen(layers.Embedding(5, 4, name="a"))

    class Reverse(layers.Layer):
        """Has the weights of another layer among its own, and trains them."""

        def build(self, shape: Any) -> None:
            self.table = once.embeddings

        def call(self, x: Any) -> Any:
            return x @ keras.ops.transpose(self.table)

    assert inside(model_of(once, layers.Flatten(), dense("b", 4), shape=(3,))) != []
    changed = model_of(once, layers.Flatten(), dense("b", 4), Reverse(), shape=(3,))
    assert inside(changed) == []


def test_nothing_but_functional_models_is_looked_into() -> None:
    class Own(keras.Model):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    inputs = keras.Input((4,))
    outputs = dense("b")(frozen(dense("a"))(inputs))
    assert inside(Own(inputs, outputs)) == []
    assert inside(keras.Sequential([inputs, frozen(dense("c")), dense("d")])) == ["c"]


def recipe(problem: Problem = DIGITS, **values: Any) -> TrainingConfig:
    return TrainingConfig.for_problem(problem, **{"epochs": 3, "batch_size": 128, **values})


def test_options_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="cut_prefix is 'on'; choose from auto"):
        recipe(cut_prefix="on")
    with pytest.raises(InvalidValueError, match="frontier_limit is -1"):
        recipe(frontier_limit=-1)


class Flipped(Digits):
    def augmentation(self) -> list[Any]:
        return [layers.GaussianNoise(0.1)]


class Watched(Digits):
    def callbacks(self) -> list[Any]:
        class Looking(keras.callbacks.Callback):
            def on_train_begin(self, logs: Any = None) -> None:
                assert len(self.model.layers) == 5

        return [Looking()]


class Streamed(Digits):
    def _load(self) -> Data:
        import tensorflow as tf

        data = super()._load()
        train, valid = (
            tf.data.Dataset.from_tensor_slices(data.part(part)).batch(128)
            for part in ("train", "valid")
        )
        return Data(train, None, valid, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "values"),
    [
        (DIGITS, {"cut_prefix": "off"}),
        (DIGITS, {"cut_prefix": "always", "frontier_limit": 100_000}),
        (DIGITS, {"epochs": 1}),
        (Flipped(), {"cut_prefix": "always"}),
        (Watched(), {"cut_prefix": "always"}),
        (Streamed(), {"cut_prefix": "always"}),
    ],
    ids=["off", "too large", "one epoch", "augmented", "watched", "streamed"],
)
def test_the_whole_model_is_trained(problem: Problem, values: dict[str, Any]) -> None:
    model = model_of(frozen(dense("a", 80)), layers.ReLU(), dense("b"))
    report = BaseTrainer(recipe(problem, **{"epochs": 2, **values}), model).run()
    assert (report.frontier_bytes, report.objective is None) == (0, False)


class Several(Problem):
    """Two inputs by name, two heads, weights of rows."""

    name = "several"
    epochs = 4
    objective = "-val_loss"

    def __init__(self) -> None:
        from parsl_tl.spaces import Head

        super().__init__()
        self.input_shape = {"left": (3,), "right": (2,)}
        self.heads = [
            Head(shape=(1,), name="sum", loss="mse"),
            Head(shape=(1,), name="sign", activation="sigmoid", loss="binary_crossentropy"),
        ]

    def _load(self) -> Data:
        random = np.random.default_rng(0)
        left, right = (random.normal(size=(80, n)).astype(np.float32) for n in (3, 2))
        total = left.sum(axis=1, keepdims=True) + right.sum(axis=1, keepdims=True)
        y = (total, (total > 0).astype(np.float32))

        def rows(part: slice) -> tuple[Any, Any]:
            return {"left": left[part], "right": right[part]}, tuple(a[part] for a in y)

        weights = random.random(60).astype(np.float32)
        return Data(*rows(slice(0, 60)), *rows(slice(60, 80)), weights_train=weights)


def two_sided() -> keras.Model:
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    a = layers.Dropout(0.3)(frozen(dense("a", 12))(left))
    joined = layers.Concatenate()([a, right])
    heads = [
        layers.Dense(1, name="sum")(dense("b")(joined)),
        layers.Dense(1, activation="sigmoid", name="sign")(joined),
    ]
    return keras.Model([left, right], heads)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [None, "mixed_bfloat16"])
def test_inputs_heads_weights_dropout_and_types(policy: str | None) -> None:
    reports = []
    for when in ("off", "always"):
        keras.utils.set_random_seed(3)
        trainer = BaseTrainer(
            recipe(Several(), cut_prefix=when, dtype_policy=policy, schedule="cosine", seed=3),
            two_sided(),
        )
        reports.append(trainer.run())
    whole, cut = reports
    assert cut.frontier_bytes == 80 * (12 * (2 if policy else 4) + 2 * 4)
    for one, other in zip(whole.history, cut.history, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@pytest.fixture
def method(tmp_path: Path) -> Iterator[StoreTransfer]:
    yield StoreTransfer(f"embedded:{tmp_path / 'store'}")
    disconnect()


def child(width: int) -> keras.Model:
    keras.utils.set_random_seed(width)
    return model_of(dense("a", 80, activation="relu"), layers.Dropout(0.2), dense("b", width))


@pytest.mark.slow
@pytest.mark.parametrize("inherit", ["freeze", "thaw:2"])
def test_a_child_is_stored_as_it_was_judged(method: StoreTransfer, inherit: str) -> None:
    """The whole model has what the rest of it learned, and what a thaw taught it after that."""
    TransferTrainer(recipe(model_id=1), child(16), method).run()
    reports = []
    # Where layers thaw, "auto" would hold them; see test_held_layers.py.
    for model_id, when in ((2, "off"), (3, "always")):
        values = {"epochs": 4, "inherit": inherit, "cut_prefix": when, "seed": 1}
        trainer = TransferTrainer(recipe(model_id=model_id, **values), child(12), method)
        reports.append(trainer.run())
        assert trainer.model is not None
        data = DIGITS.load()
        predicted = trainer.model.predict(data.x_valid, verbose=0).argmax(axis=1)
        share = float((predicted == data.y_valid.argmax(axis=1)).mean())
        assert share == pytest.approx(reports[-1].objective, abs=1e-6)
        with open_store(method.uri) as store:
            loaded = load_keras_model(store, model_id)
        for mine, theirs in zip(trainer.model.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
        method.retire(model_id)  # else it would be the next one's donor
    whole, cut = reports
    assert cut.frontier_bytes == (1437 + 360) * 80 * 4
    assert 0 < cut.seconds_prefix < cut.seconds_train
    assert cut.objective == pytest.approx(whole.objective, abs=1e-5)
    assert (cut.best_epoch, cut.bytes_stored) == (whole.best_epoch, whole.bytes_stored)
