"""What is done with a batch, and what the batches of an epoch amount to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parsl_tl.training.fused_loss import loss_of
from parsl_tl.training.packed_weights import PackedWeights
from parsl_tl.training.shared_metrics import SharedMetrics

if TYPE_CHECKING:
    import keras


class Step(ABC):
    """Trains with batches, or judges by them."""

    def start(self) -> None:  # noqa: B027 - most have nothing to do
        """Takes the model as it is, before the first epoch."""

    @abstractmethod
    def begin(self) -> None:
        """Begins an epoch: forgets the batches of before."""

    @abstractmethod
    def __call__(self, batch: Any) -> None:
        """Takes a batch; traced by TensorFlow."""

    @abstractmethod
    def result(self) -> Mapping[str, float]:
        """Returns loss and metrics of all batches since then, by name."""

    def end(self) -> None:  # noqa: B027 - most have nothing to do
        """Ends an epoch."""


class KerasStep(Step):
    """Does what Keras does.

    Args:
        model: compiled.
        trains: with the batches; else the model is judged by them.
    """

    def __init__(self, model: keras.Model, *, trains: bool) -> None:
        self._model = model
        self._step = model.train_step if trains else model.test_step

    def begin(self) -> None:
        """See ``Step``."""
        self._model.reset_metrics()

    def __call__(self, batch: Any) -> None:
        """See ``Step``."""
        self._step(batch)

    def result(self) -> Mapping[str, float]:
        """See ``Step``."""
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}


class JudgingStep(Step):
    """Does the same as Keras to judge a model with one output, with less to trace.

    Args:
        model: compiled.
        metrics: of the problem.
    """

    def __init__(self, model: keras.Model, metrics: SharedMetrics) -> None:
        self._model, self._metrics = model, metrics

    def begin(self) -> None:
        """See ``Step``."""
        self._metrics.reset()

    def __call__(self, batch: Any) -> None:
        """See ``Step``."""
        import keras

        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predicted = self._model(x, training=False)
        loss = loss_of(self._model, x, y, predicted, weights, training=False)
        self._metrics.update(y, predicted, loss.value)

    def result(self) -> Mapping[str, float]:
        """See ``Step``."""
        return self._metrics.result()


class PackedStep(JudgingStep):
    """Does the same as Keras to train a model with one output, whose weights are packed.

    Args:
        model: compiled.
        metrics: of the problem.
        packed: the model's weights.
    """

    def __init__(self, model: keras.Model, metrics: SharedMetrics, packed: PackedWeights) -> None:
        super().__init__(model, metrics)
        self._packed = packed

    def start(self) -> None:
        """See ``Step``."""
        self._packed.read()

    def __call__(self, batch: Any) -> None:
        """See ``Step``."""
        import keras
        import tensorflow as tf

        model, packed = self._model, self._packed
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        parts = packed.parts()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parts)
            with packed.in_place_of_variables(parts) as scope:
                predicted = model(x, training=True)
                loss = loss_of(model, x, y, predicted, weights, training=True)
        packed.train(tape.gradient(loss.target, parts, output_gradients=loss.gradient))
        # Moving statistics, and the state of what draws random numbers.
        for variable in model.non_trainable_variables:
            changed = scope.get_current_value(variable)
            if changed is not None:
                variable.assign(changed)
        self._metrics.update(y, predicted, loss.value)

    def end(self) -> None:
        """Gives the model what was trained; see ``Step``."""
        self._packed.write()
