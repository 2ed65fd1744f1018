"""Spans of epochs, and of the validation at their ends, where somebody records them."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from parsl_tl.events import is_recording, span

if TYPE_CHECKING:
    import keras


def epoch_spans() -> list[keras.callbacks.Callback]:
    """Returns the callback that records epochs; none where nobody records."""
    return [_callback_class()()] if is_recording() else []


@functools.cache
def _callback_class() -> type[keras.callbacks.Callback]:
    import keras

    class EpochSpans(keras.callbacks.Callback):  # type: ignore[misc]
        """Opens a span where Keras says that something begins, and closes it where it ends."""

        def __init__(self) -> None:
            super().__init__()
            self._open = contextlib.ExitStack()

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._open.enter_context(span("epoch", epoch=epoch + 1))

        def on_test_begin(self, logs: Any = None) -> None:
            self._epoch = self._open.pop_all()
            self._open.enter_context(span("validate"))

        def on_test_end(self, logs: Any = None) -> None:
            self._open.close()
            self._open = self._epoch

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._open.close()

        def on_train_end(self, logs: Any = None) -> None:
            self._open.close()  # an epoch that was broken off

    return EpochSpans
