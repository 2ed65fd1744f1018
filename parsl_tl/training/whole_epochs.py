"""Epochs that TensorFlow runs by itself, instead of coming back to Python after every step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from parsl_tl.training.datasets import RowBatches, for_keras, number_of
from parsl_tl.training.steps import Step

if TYPE_CHECKING:
    import keras

    from parsl_tl.training.report import TrainingReport

# So that signals, and limits of time, do not wait for longer.
_LONGEST_SECONDS: Final = 0.5
# Keras' own callbacks that look at whole epochs, or at the loss, which stays NaN once it is.
_BY_EPOCH: Final = frozenset(
    ("CSVLogger", "EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau", "TerminateOnNaN")
)

Fit: TypeAlias = Callable[[int, int, Sequence["keras.callbacks.Callback"]], None]
"""Trains from one epoch to before another one, and calls back."""


def may_run_whole(model: keras.Model, callbacks: Iterable[Any]) -> bool:
    """Whether epochs of a compiled model may be run in a few calls.

    That needs TensorFlow, and callbacks that do not look at steps. XLA compiles single steps.
    """
    import keras

    is_here = keras.backend.backend() == "tensorflow" and not model.jit_compile
    return is_here and all(map(_is_by_epoch, callbacks))


def keras_fit(model: keras.Model, training: Any, validation: Any) -> Fit:
    """Trains as Keras does."""

    def fit(first: int, end: int, callbacks: Sequence[Any]) -> None:
        model.fit(
            for_keras(training),
            validation_data=for_keras(validation),
            initial_epoch=first,
            epochs=end,
            shuffle=False,  # the dataset does it
            verbose=0,
            callbacks=list(callbacks),
        )

    return fit


@contextmanager
def whole_epochs(
    model: keras.Model,
    steps: tuple[Step, Step],
    training: Any,
    validation: Any,
    report: TrainingReport,
) -> Iterator[Fit]:
    """Trains as Keras does, but runs all steps of an epoch in a few calls.

    The steps are the same, and in the same order; callbacks hear of the last step of an epoch only.

    Args:
        model: compiled, of which ``may_run_whole`` is true.
        steps: what to do with a batch to train with, and with one to judge by.
        training: batches to train with, of which it is known how many there are.
        validation: batches to judge by; likewise.
        report: gets the seconds that training steps wait for their batches.

    Yields:
        What trains while the context lasts.
    """
    source = _source(training)
    train = _Part(steps[0], source)
    judge = _Part(steps[1], _source(validation))
    try:
        yield partial(_fit, model, train, judge)
    finally:
        report.seconds_data = (report.seconds_data or 0.0) + source.seconds_waited()


def _fit(
    model: keras.Model,
    train: _Part,
    judge: _Part,
    first: int,
    end: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    import keras

    number = train.number
    told = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=model, verbose=0, epochs=end, steps=number
    )
    model.stop_training = False
    told.on_train_begin()
    train.step.start()
    judge.step.start()
    logs: dict[str, float] = {}
    for epoch in range(first, end):
        told.on_epoch_begin(epoch)
        told.on_train_batch_begin(0)
        logs = dict(train.run())
        told.on_train_batch_end(number - 1, logs)
        told.on_test_begin()
        judged = judge.run()
        told.on_test_end(dict(judged))
        logs |= {f"val_{name}": value for name, value in judged.items()}
        told.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    told.on_train_end(logs)


class _Source(NamedTuple):
    """Where the steps of an epoch take their batches from."""

    begin: Callable[[], Any]  # makes what is known of a whole epoch
    number: int  # of steps
    take: Callable[[Any, Any], Any]  # gives, of that, the batch of a step
    seconds_waited: Callable[[], float]  # for batches, so far


def _source(batches: Any) -> _Source:
    """Takes rows of arrays in memory within a step: an iterator over batches is dear to make."""
    import tensorflow as tf

    if not isinstance(batches, RowBatches):
        return _waited_for(batches, number_of(batches) or 0)
    # For GPUs, batches are made while they compute.
    if not batches.are_at_hand or tf.config.list_logical_devices("GPU"):
        return _waited_for(batches.dataset, batches.number)

    def take(order: Any, step: Any) -> Any:
        first = step * batches.size
        return batches.batch(order[first : tf.minimum(first + batches.size, batches.count)])

    return _Source(lambda: tf.constant(batches.order()), batches.number, take, lambda: 0.0)


def _waited_for(batches: Any, number: int) -> _Source:
    """Takes batches as they come, and adds up how long each is waited for."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)

    def take(iterator: Any, step: Any) -> Any:
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            batch = iterator.get_next()
        with tf.control_dependencies(tf.nest.flatten(batch)):
            counted = waited.assign_add(tf.timestamp() - asked)
        # A thread that does all would count the step first.
        with tf.control_dependencies([counted]):
            return tf.nest.map_structure(tf.identity, batch)

    return _Source(lambda: iter(batches), number, take, lambda: float(waited))


class _Part:
    """All batches of a part of the data, step by step.

    Args:
        step: what is done with a batch.
        source: of batches.
    """

    def __init__(self, step: Step, source: _Source) -> None:
        import tensorflow as tf

        def run(epoch: Any, first: Any, end: Any) -> None:
            def body(number: Any) -> tuple[Any]:
                step(source.take(epoch, number))
                return (number + 1,)

            if source.number == 1:  # without a loop there is less to trace
                body(first)
            else:
                tf.while_loop(lambda number: number < end, body, [first], parallel_iterations=1)

        self._run = tf.function(run, autograph=False, reduce_retracing=True)
        self.step, self._source = step, source
        self._at_once = 1
        self.number = source.number

    def run(self) -> Mapping[str, float]:
        """Runs all steps; stops where the loss is no number any more."""
        import tensorflow as tf

        self.step.begin()
        epoch, done = self._source.begin(), 0
        logs: Mapping[str, float] = {}
        while done < self.number:
            end = min(done + self._at_once, self.number)
            begun = time.perf_counter()
            self._run(epoch, tf.constant(done, tf.int64), tf.constant(end, tf.int64))
            done, logs = end, self.step.result()
            if not math.isfinite(logs.get("loss", 0.0)):
                break
            if time.perf_counter() - begun < _LONGEST_SECONDS / 4:
                self._at_once *= 4
        self.step.end()
        return logs


def _is_by_epoch(callback: Any) -> bool:
    return type(callback).__module__.startswith("keras.") and type(callback).__name__ in _BY_EPOCH
