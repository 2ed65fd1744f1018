"""An event loop that can be waited for wherever a search is called."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class EvaluationLoop(asyncio.SelectorEventLoop):
    """The loop of an evaluator, which may wait for it inside another loop, as in a notebook.

    A thread can run one loop at a time. Where one runs already, this one runs in a thread of its
    own, and the caller's stands still until that is done, as it does for whatever is not awaited.
    """

    def run_until_complete(self, future: Awaitable[T]) -> T:  # type: ignore[override]
        """Runs until a future is done, and returns its result."""
        if not is_in_a_loop():
            return super().run_until_complete(future)
        done: Future[Any] = Future()
        # In a context like the caller's, so that what is done there is recorded as here.
        run, given = contextvars.copy_context().run, (self._run_in_thread, future, done)
        thread = threading.Thread(target=run, args=given, daemon=True)
        thread.start()
        try:
            return done.result()  # type: ignore[no-any-return]
        except BaseException:
            if not done.done():  # the caller was interrupted while it waited
                self.call_soon_threadsafe(self.stop)
            raise
        finally:
            thread.join()

    def _run_in_thread(self, future: Awaitable[Any], done: Future[Any]) -> None:
        try:
            done.set_result(super().run_until_complete(future))
        except BaseException as error:
            done.set_exception(error)


def is_in_a_loop() -> bool:
    """Returns whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
