"""Epochs that TensorFlow runs by itself, instead of coming back to Python after every step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parsl_tl.training.datasets import number_of

if TYPE_CHECKING:
    import keras

    from parsl_tl.training.report import TrainingReport

# So that signals, and limits of time, do not wait for longer.
_LONGEST_SECONDS: Final = 0.5
# Keras' own callbacks that look at whole epochs, or at the loss, which stays NaN once it is.
_BY_EPOCH: Final = frozenset(
    ("CSVLogger", "EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau", "TerminateOnNaN")
)


@contextmanager
def whole_epochs(
    model: keras.Model,
    training: Any,
    validation: Any,
    callbacks: Iterable[Any],
    report: TrainingReport,
) -> Iterator[tuple[Any, Any]]:
    """Lets ``fit`` run all steps of an epoch in a few calls, while the context lasts.

    The steps are the same, and in the same order; callbacks hear of the last step of an epoch only.
    Nothing changes where that would matter to one, with other backends, and for batches of which
    nobody knows how many there are.

    Args:
        model: compiled.
        training: batches to train with.
        validation: batches to judge by.
        callbacks: of the training.
        report: gets the seconds that training steps wait for their batches.

    Yields:
        What ``fit`` takes in place of ``training`` and ``validation``.
    """
    import keras

    numbers = [number_of(batches) for batches in (training, validation)]
    is_other = keras.backend.backend() != "tensorflow"
    if is_other or None in numbers or model.jit_compile or not all(map(_is_by_epoch, callbacks)):
        yield training, validation
        return
    sources = [_source(batches) for batches in (training, validation)]
    plain = model.steps_per_execution
    model.steps_per_execution = max(source.number for source in sources)
    model.train_function = _Steps(model, model.train_step, sources[0])
    model.test_function = _Steps(model, model.test_step, sources[1])
    try:
        yield sources[0].batches, sources[1].batches
    finally:
        model.steps_per_execution = plain
        model.train_function = model.test_function = None
        report.seconds_data = (report.seconds_data or 0.0) + sources[0].seconds_waited()


class _Source(NamedTuple):
    """Where the steps of an epoch take their batches from."""

    batches: Any  # of which ``fit`` makes an iterator for each epoch
    number: int  # of steps
    begin: Callable[[Any], Any]  # makes, of the iterator, what is known of the whole epoch
    take: Callable[[Any, Any], Any]  # gives, of that, the batch of a step
    seconds_waited: Callable[[], float]  # for batches, so far


def _source(batches: Any) -> _Source:
    """Takes rows of arrays in memory within a step: an iterator over batches is dear to make."""
    import tensorflow as tf

    number = number_of(batches) or 0
    rows = getattr(batches, "rows", None)
    if rows is None or tf.config.list_logical_devices("GPU"):  # for which batches are prefetched
        return _waited_for(batches, number)

    def take(order: Any, step: Any) -> Any:
        first = step * rows.size
        return rows.batch(order[first : tf.minimum(first + rows.size, rows.count)])

    return _Source(rows.order, number, next, take, lambda: 0.0)


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

    return _Source(batches, number, lambda iterator: iterator, take, lambda: float(waited))


class _Steps:
    """Runs a number of steps, as ``keras.Model.train_function`` runs one.

    Args:
        model: compiled.
        step: what is done with a batch.
        source: of batches.
    """

    def __init__(self, model: keras.Model, step: Callable[[Any], Any], source: _Source) -> None:
        import tensorflow as tf

        def run(epoch: Any, first: Any, end: Any) -> dict[str, Any]:
            def body(number: Any) -> tuple[Any]:
                step(source.take(epoch, number))
                return (number + 1,)

            if source.number == 1:  # without a loop there is less to trace
                body(first)
            else:
                tf.while_loop(lambda number: number < end, body, [first], parallel_iterations=1)
            return dict(model.get_metrics_result())

        self._run = tf.function(run, autograph=False, reduce_retracing=True)
        self._source = source
        self._at_once = 1

    def __call__(self, iterator: Any) -> Mapping[str, Any]:
        """Runs all steps; stops where the loss is no number any more."""
        import tensorflow as tf

        logs: Mapping[str, Any] = {}
        epoch, done = self._source.begin(iterator), 0
        while done < self._source.number:
            end = min(done + self._at_once, self._source.number)
            begun = time.perf_counter()
            logs = self._run(epoch, tf.constant(done, tf.int64), tf.constant(end, tf.int64))
            done = end
            if not math.isfinite(float(logs.get("loss", 0.0))):
                break
            if time.perf_counter() - begun < _LONGEST_SECONDS / 4:
                self._at_once *= 4
        return logs


def _is_by_epoch(callback: Any) -> bool:
    return type(callback).__module__.startswith("keras.") and type(callback).__name__ in _BY_EPOCH
