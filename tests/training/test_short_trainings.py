"""What makes short trainings cheap computes what Keras' own loop and optimizer do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from parsl_tl.errors import NaNLossError
from parsl_tl.problems import Digits
from parsl_tl.training import BaseTrainer, TrainingConfig
from parsl_tl.training.compiling import compile_model, judge
from parsl_tl.training.datasets import batches
from parsl_tl.training.fused_adam import fuse_adam
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.steps import KerasStep
from parsl_tl.training.whole_epochs import keras_fit, may_run_whole, whole_epochs

pytestmark = pytest.mark.slow

DIGITS = Digits()
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def network(rate: float = 0.3) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dropout(rate)(keras.layers.Dense(8, activation="tanh")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def history(model: keras.Model, callbacks: list[Any], *, whole: bool) -> dict[str, list[float]]:
    data = batches(X, Y, 8, seed=3), batches(X[:20], Y[:20], 8)
    history = keras.callbacks.History()
    callbacks = [*callbacks, history]
    if whole:
        with whole_epochs(model, steps(model), *data, TrainingReport()) as fit:
            fit(0, 5, callbacks)
    else:
        keras_fit(model, *data)(0, 5, callbacks)
    found: dict[str, list[float]] = history.history
    return found


def steps(model: keras.Model) -> tuple[KerasStep, KerasStep]:
    return KerasStep(model, trains=True), KerasStep(model, trains=False)


def test_an_epoch_in_a_few_calls_is_the_same_epoch() -> None:
    found = []
    for whole in (False, True):
        model = network()
        model.compile("sgd", "mse", metrics=["mae"])
        stop = keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=3)
        found.append((history(model, [stop], whole=whole), model.get_weights()))
        assert model.steps_per_execution == 1
        assert model.evaluate(X, Y, verbose=0)[0] > 0  # other data, after it
    (plain, weights), (whole_history, same) = found
    assert len(plain["loss"]) == 4  # stopped early
    assert whole_history == plain
    for one, other in zip(weights, same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_callbacks_that_look_at_steps_are_called_by_keras() -> None:
    model = network()
    model.compile("sgd", "mse")
    by_epoch = [keras.callbacks.EarlyStopping(), keras.callbacks.ReduceLROnPlateau()]
    assert may_run_whole(model, by_epoch)
    assert not may_run_whole(model, [*by_epoch, keras.callbacks.LambdaCallback()])
    model.compile("sgd", "mse", jit_compile=True)
    assert not may_run_whole(model, by_epoch)


def test_an_epoch_that_diverges_is_not_gone_on_with() -> None:
    model = network()
    model.compile(keras.optimizers.SGD(1e30), "mse")
    data = batches(X, Y, 2, seed=0), batches(X, Y, 50)
    history = keras.callbacks.History()
    with whole_epochs(model, steps(model), *data, TrainingReport()) as fit:
        fit(0, 1, [history])
    assert not np.isfinite(history.history["loss"][0])
    assert int(model.optimizer.iterations) < 25
    with pytest.raises(NaNLossError, match="epoch 1"):
        BaseTrainer(
            TrainingConfig.for_problem(DIGITS, epochs=1, learning_rate=1e30), digits_network()
        ).run()


def test_waiting_for_batches_is_told() -> None:
    import tensorflow as tf

    def slowly() -> Iterator[tuple[Any, Any]]:
        for first in range(0, 50, 10):
            time.sleep(0.02)
            yield X[first : first + 10], Y[first : first + 10]

    signature = (tf.TensorSpec((None, 4)), tf.TensorSpec((None, 1)))
    slow = tf.data.Dataset.from_generator(slowly, output_signature=signature)
    slow = slow.apply(tf.data.experimental.assert_cardinality(5))
    seconds = []
    for training in (slow, batches(X, Y, 10)):
        model, report = network(), TrainingReport()
        model.compile("sgd", "mse")
        with whole_epochs(model, steps(model), training, batches(X, Y, 50), report) as fit:
            fit(0, 2, [])
        seconds.append(report.seconds_data)
    assert seconds[0] > 2 * 5 * 0.02
    assert seconds[1] == 0


def digits_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(hidden))


def test_xla_trains_to_the_same_objective() -> None:
    losses = []
    for compiled in (None, True):
        recipe = TrainingConfig.for_problem(
            DIGITS, epochs=1, batch_size=512, objective="-val_loss", jit_compile=compiled
        )
        assert recipe.is_compiled() is bool(compiled)
        losses.append(BaseTrainer(recipe, digits_network()).run().objective)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("arguments", [{}, {"clipnorm": 0.1, "weight_decay": 0.01}])
def test_adam_is_adam(arguments: dict[str, Any]) -> None:
    found = []
    for fused in (False, True):
        model = network(0.0)
        model.compile(keras.optimizers.Adam(0.01, **arguments), "mse")
        model.optimizer.build(model.trainable_variables)
        before = model.optimizer._backend_update_step
        if fused:
            fuse_adam(model.optimizer)
            assert model.optimizer._backend_update_step is not before
        model.fit(X, Y, epochs=5, batch_size=10, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)


def test_other_optimizers_and_sparse_gradients_are_left_to_keras() -> None:
    inputs = keras.Input((3,), dtype="int32")
    table = keras.layers.Flatten()(keras.layers.Embedding(5, 4)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(table))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    fuse_adam(model.optimizer)
    before = model.get_weights()
    model.fit(RANDOM.integers(0, 5, (20, 3)), Y[:20], verbose=0)
    assert all(abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))
    for other in (keras.optimizers.SGD(), keras.optimizers.Adam(amsgrad=True)):
        step = other._backend_update_step
        fuse_adam(other)
        assert other._backend_update_step == step


def test_judging_few_batches_leaves_the_model_as_it_was() -> None:
    model = digits_network()
    recipe = TrainingConfig.for_problem(DIGITS)
    compile_model(model, recipe, DIGITS.load())
    few = judge(model, DIGITS, DIGITS.load(), recipe.batch_size)
    assert not model.run_eagerly
    data = DIGITS.load()
    loss, accuracy = model.evaluate(data.x_valid, data.y_valid, verbose=0)
    assert few == pytest.approx({"loss": loss, "accuracy": accuracy}, abs=1e-5)
