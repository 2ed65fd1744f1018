"""Epochs that TensorFlow runs by itself, instead of coming back to Python after every step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.training.datasets import number_of

if TYPE_CHECKING:
    import keras

# So that signals, and limits of time, do not wait for longer.
_LONGEST_SECONDS: Final = 0.5
# Keras' own callbacks that look at whole epochs, or at the loss, which stays NaN once it is.
_BY_EPOCH: Final = frozenset(
    ("CSVLogger", "EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau", "TerminateOnNaN")
)


@contextmanager
def whole_epochs(
    model: keras.Model, training: Any, validation: Any, callbacks: Iterable[Any]
) -> Iterator[None]:
    """Lets ``fit`` run all steps of an epoch in a few calls, while the context lasts.

    The steps are the same, and in the same order; callbacks hear of the last step of an epoch only.
    Nothing changes where that would matter to one, with other backends, and for batches of which
    nobody knows how many there are.

    Args:
        model: compiled.
        training: batches to train with.
        validation: batches to judge by.
        callbacks: of the training.
    """
    steps = [number_of(batches) for batches in (training, validation)]
    if None in steps or model.jit_compile or not all(map(_is_by_epoch, callbacks)):
        yield
        return
    plain = model.steps_per_execution
    model.steps_per_execution = max(1, *(number or 0 for number in steps))
    model.train_function = _Steps(model, model.train_step, steps[0] or 0)
    model.test_function = _Steps(model, model.test_step, steps[1] or 0)
    try:
        yield
    finally:
        model.steps_per_execution = plain
        model.train_function = model.test_function = None


class _Steps:
    """Runs a number of steps, as ``keras.Model.train_function`` runs one.

    Args:
        model: compiled.
        step: what is done with a batch.
        number: of batches.
    """

    def __init__(self, model: keras.Model, step: Callable[[Any], Any], number: int) -> None:
        import tensorflow as tf

        def run(iterator: Any, count: Any) -> dict[str, Any]:
            def body(done: Any) -> tuple[Any]:
                step(iterator.get_next())
                return (done + 1,)

            tf.while_loop(lambda done: done < count, body, [0], parallel_iterations=1)
            return dict(model.get_metrics_result())

        self._run = tf.function(run, autograph=False, reduce_retracing=True)
        self._number = number
        self._at_once = 1

    def __call__(self, iterator: Any) -> Mapping[str, Any]:
        """Runs all steps; stops where the loss is no number any more."""
        import tensorflow as tf

        logs: Mapping[str, Any] = {}
        left = self._number
        while left:
            count = min(left, self._at_once)
            begun = time.perf_counter()
            logs = self._run(iterator, tf.constant(count))
            left -= count
            if not math.isfinite(float(logs.get("loss", 0.0))):
                break
            if time.perf_counter() - begun < _LONGEST_SECONDS / 4:
                self._at_once *= 4
        return logs


def _is_by_epoch(callback: Any) -> bool:
    return type(callback).__module__.startswith("keras.") and type(callback).__name__ in _BY_EPOCH
