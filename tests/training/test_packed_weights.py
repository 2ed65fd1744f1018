"""Packed weights are trained as one by one; what cannot be packed is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from built_in_spaces import BUILT_IN
from made_problem import Made, frozen_model

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import ImpossibleArchitectureError
from parsl_tl.problems import Data, Problem
from parsl_tl.spaces import SearchSpace, get_space
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.training import BaseTrainer, TrainingConfig, fitting, packed_weights
from parsl_tl.training.compiling import compile_plainly
from parsl_tl.training.fused_loss import loss_of
from parsl_tl.training.packed_weights import PackedWeights, may_be_packed
from parsl_tl.training.shared_metrics import shared_metrics

pytestmark = pytest.mark.slow

layers = keras.layers


class Kinds(Problem):
    """Which of three kinds an image of noise is."""

    name, input_shape, output_shape = "kinds", (6, 6, 1), (3,)
    loss, metrics, objective = "categorical_crossentropy", ("accuracy", "auroc"), "val_accuracy"
    epochs, batch_size, learning_rate = 4, 16, 0.01
    as_numbers, is_weighted = False, False

    def _load(self) -> Data:
        random = np.random.default_rng(0)
        x = random.normal(size=(120, 6, 6, 1)).astype(np.float32)
        kinds = x.reshape(120, -1)[:, :3].argmax(1)
        y = kinds.astype(np.int32) if self.as_numbers else np.eye(3, dtype=np.float32)[kinds]
        weights = random.random(90) if self.is_weighted else None
        return Data(x[:90], y[:90], x[90:], y[90:], weights_train=weights)


class Numbers(Kinds):
    loss, metrics, as_numbers = "sparse_categorical_crossentropy", ("accuracy",), True


class Weighted(Kinds):
    is_weighted = True


class Logits(Kinds):
    """Without a softmax before the loss."""

    loss, metrics = "mse", ("mae",)
    objective = "-val_loss"


def network(activation: str | None = "softmax", **of_dense: Any) -> keras.Model:
    """Has what draws random numbers, and what keeps moving statistics."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    hidden = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(inputs))
    hidden = layers.Dropout(0.3)(layers.Flatten()(hidden))
    branch = layers.Dense(8, activation="tanh", **of_dense)(hidden)
    hidden = layers.Add()([branch, layers.Dense(8)(hidden)])
    return keras.Model(inputs, layers.Dense(3, activation=activation)(hidden))


def trained(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, *, packed: bool, **recipe: Any
) -> BaseTrainer:
    """Trains the network, and looks whether its weights were packed."""
    asked: list[bool] = []

    def ask(model: keras.Model, config: TrainingConfig, rows: int) -> bool:
        asked.append(packed and may_be_packed(model, config, rows))
        return asked[-1]

    config = TrainingConfig.for_problem(problem, **{"seed": 3, **recipe})
    activation = None if isinstance(problem, Logits) else "softmax"
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "may_be_packed", ask)
        trainer = BaseTrainer(config, network(activation))
        trainer.run()
    assert asked == [packed]
    return trainer


@pytest.mark.parametrize(
    ("problem", "recipe"),
    [
        (Kinds, {}),
        (Kinds, {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9, "nesterov": True}}),
        (Kinds, {"optimizer": "rmsprop", "schedule": "cosine"}),
        (Kinds, {"optimizer": "nadam", "batch_growth": "2:1:60"}),
        (Kinds, {"schedule": {"name": "reduce-on-plateau", "patience": 1, "factor": 0.1}}),
        (Numbers, {}),
        (Weighted, {"early_stopping_patience": 1, "epochs": 6}),
        (Logits, {}),
    ],
)
def test_packed_weights_are_trained_as_they_are_one_by_one(
    problem: Callable[[], Problem], recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (
        trained(problem(), monkeypatch, packed=packed, **recipe) for packed in (False, True)
    )
    assert len(one.report.history) == len(other.report.history) > 1
    for before, after in zip(one.report.history, other.report.history, strict=True):
        assert list(before) == list(after)
        assert before == pytest.approx(after, abs=1e-4)
    assert one.report.objective == pytest.approx(other.report.objective, abs=1e-4)
    assert one.model is not None
    assert other.model is not None
    for weight, same in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, same, atol=1e-3)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_networks_of_each_space_are_trained_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, arguments, shape, heads = BUILT_IN[kind]
    problem, space = Made(shape, heads, 0), get_space(name, **arguments)
    graph = next(drawn_graphs(space, problem))
    reports = []
    asked: list[bool] = []

    def ask(*about: Any) -> bool:
        asked.append(may_be_packed(*about))
        return asked[-1]

    recipe = TrainingConfig.for_problem(problem, seed=0)
    monkeypatch.setattr(packed_weights, "_MOST_COPIED", 10**12)
    for answer in (lambda *_: False, ask):
        monkeypatch.setattr(fitting, "may_be_packed", answer)
        reports.append(BaseTrainer(recipe, frozen_model(graph, 0.0, 0)).run())
    assert asked == [len(heads) == 1]
    one, other = reports
    assert len(one.history) == len(other.history) > 1
    for before, after in zip(one.history, other.history, strict=True):
        assert before == pytest.approx(after, rel=1e-6, abs=1e-6)


def drawn_graphs(space: SearchSpace, problem: Problem) -> Iterator[ArchitectureGraph]:
    random = np.random.default_rng(0)
    while True:
        try:
            yield space.build(
                random_arch_seq(space, random), problem.input_shape, problem.output_heads()
            )
        except ImpossibleArchitectureError:
            continue


def test_the_model_can_be_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trained(Kinds(), monkeypatch, packed=True)
    model, data = trainer.model, Kinds().load()
    assert model is not None
    before = model.get_weights()
    history = model.fit(data.x_train, data.y_train, verbose=0).history
    assert {"loss", "accuracy", "auroc"} <= set(history)
    assert any(abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))


def test_a_part_without_a_gradient_stays_as_it_is() -> None:
    model = network()
    compile_plainly(model, TrainingConfig.for_problem(Kinds()))
    packed = PackedWeights(model)
    packed.read()
    before = [variable.numpy() for variable in model.trainable_variables]
    packed.train([None, *(part + 1 for part in packed.parts()[1:])])
    packed.write()
    changes = [
        abs(variable.numpy() - value).max()
        for variable, value in zip(model.trainable_variables, before, strict=True)
    ]
    assert changes[0] == 0
    assert min(changes[1:]) > 0


class Own(layers.Dense):  # type: ignore[misc]
    """Nobody knows what this does beside its call."""


class OwnModel(keras.Model):  # type: ignore[misc]
    """Nobody knows how this is trained."""


@pytest.mark.parametrize(
    ("of_dense", "recipe"),
    [
        ({"kernel_regularizer": "l2"}, {}),
        ({"kernel_constraint": "non_neg"}, {}),
        ({"activity_regularizer": "l2"}, {}),
        ({"dtype": "float16"}, {}),
        ({}, {"clip_norm": 1.0}),
        ({}, {"optimizer_args": {"use_ema": True}}),
        ({}, {"optimizer_args": {"weight_decay": 0.1}}),
        ({}, {"optimizer": "adamw"}),
        ({}, {"optimizer": "ftrl"}),
        ({}, {"optimizer": "adafactor"}),
        ({}, {"dtype_policy": "mixed_bfloat16"}),
    ],
)
def test_what_is_not_done_number_by_number_is_not_packed(
    of_dense: dict[str, Any], recipe: dict[str, Any]
) -> None:
    model = network(**of_dense)
    config = TrainingConfig.for_problem(Kinds(), **recipe)
    compile_plainly(model, config)
    assert not may_be_packed(model, config, 90)


def test_large_trainings_and_layers_of_ones_own_are_not_packed() -> None:
    config = TrainingConfig.for_problem(Kinds())
    model = network()
    compile_plainly(model, config)
    assert may_be_packed(model, config, 90)
    assert not may_be_packed(model, config, 10**8)
    model.trainable = False
    assert not may_be_packed(model, config, 90)
    inner = keras.Sequential([keras.Input((4,)), Own(3, activation="softmax")])
    inputs = keras.Input((4,))
    nested = keras.Model(inputs, inner(inputs))
    compile_plainly(nested, config)
    assert not may_be_packed(nested, config, 90)
    numbers = keras.Input((3,), dtype="int32")
    table = layers.Flatten()(layers.Embedding(5, 4)(numbers))
    embedding = keras.Model(numbers, layers.Dense(3, activation="softmax")(table))
    compile_plainly(embedding, config)
    assert not may_be_packed(embedding, config, 90)
    masked = layers.Dense(3, activation="softmax")(layers.Masking()(inputs))
    masking = keras.Model(inputs, keras.Model(inputs, masked)(inputs))
    compile_plainly(masking, config)
    assert not may_be_packed(masking, config, 90)
    spectral = layers.SpectralNormalization(layers.Dense(3, activation="softmax"))
    assigning = keras.Model(inputs, spectral(inputs))
    compile_plainly(assigning, config)
    assert not may_be_packed(assigning, config, 90)
    own = OwnModel(model.inputs, model.outputs)
    own.trainable = True
    compile_plainly(own, config)
    assert not may_be_packed(own, config, 90)


@pytest.mark.parametrize("problem", [Kinds, Numbers, Weighted, Logits])
def test_the_loss_and_its_gradient_are_those_of_keras(problem: type[Kinds]) -> None:
    import tensorflow as tf

    data = problem().load()
    model = network(None if problem is Logits else "softmax")
    compile_plainly(model, TrainingConfig.for_problem(problem()))
    weights = data.row_weights()
    weights = None if weights is None else weights.astype(np.float32)
    y = tf.constant(data.y_train)
    with tf.GradientTape(persistent=True) as tape:
        predicted = model(data.x_train)
        theirs = model.compute_loss(None, y, predicted, weights)
        loss = loss_of(model, None, y, predicted, weights, training=True)
    assert (loss.gradient is not None) == (problem in (Kinds, Numbers))
    assert float(loss.value) == pytest.approx(float(theirs), rel=1e-5)
    variables = [variable.value for variable in model.trainable_variables]
    ours = tape.gradient(loss.target, variables, output_gradients=loss.gradient)
    for one, other in zip(ours, tape.gradient(theirs, variables), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_metrics_are_made_once_for_a_problem() -> None:
    problem = Kinds()
    metrics = shared_metrics(problem, problem.load())
    assert shared_metrics(problem, problem.load()) is metrics
    assert shared_metrics(Kinds(), problem.load()) is not metrics
    metrics.reset()
    y, right = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[0, 1, 1]]
    metrics.update(y, right, np.float32(2.0))
    metrics.update(y[:1], right[:1], np.float32(4.0))
    assert metrics.result()["loss"] == pytest.approx((3 * 2 + 4) / 4)
    assert metrics.result()["accuracy"] == pytest.approx(3 / 4)
    metrics.reset()
    metrics.update(y[:1], right[:1], np.float32(1.0))
    assert metrics.result()["loss"] == 1.0
    assert metrics.result()["accuracy"] == 1.0
