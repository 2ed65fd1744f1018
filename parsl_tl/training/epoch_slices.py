"""When epochs began, and the validation at their ends."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

from parsl_tl.events import Slices, span

if TYPE_CHECKING:
    import keras


def epoch_slices(parts: Slices) -> keras.callbacks.Callback:
    """Returns the callback that notes epochs.

    Args:
        parts: of the evaluation, which is in training.
    """
    return _callback_class()(parts)


@functools.cache
def _callback_class() -> type[keras.callbacks.Callback]:
    import keras

    class EpochSlices(keras.callbacks.Callback):  # type: ignore[misc]
        """Begins a slice, and opens a span, where Keras says that something begins."""

        def __init__(self, parts: Slices) -> None:
            super().__init__()
            self._parts = parts
            self._open = contextlib.ExitStack()

        def _begin(self, name: str, **attributes: int) -> None:
            now = time.time_ns()
            self._parts.mark(name, now)
            self._open.enter_context(span(name, begin_ns=now, **attributes))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._begin("epoch", epoch=epoch + 1)

        def on_test_begin(self, logs: Any = None) -> None:
            self._epoch = self._open.pop_all()
            self._begin("validate")

        def on_test_end(self, logs: Any = None) -> None:
            self._open.close()
            self._open = self._epoch

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._open.close()

        def on_train_end(self, logs: Any = None) -> None:
            self._open.close()  # an epoch that was broken off
            self._parts.mark("train", time.time_ns())

    return EpochSlices
