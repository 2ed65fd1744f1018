"""SIGINT and SIGTERM end a program once, in order, and in bounded time."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from parsl_tl.exit_codes import INTERRUPTED

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Schedulers and ``timeout`` send SIGKILL some 20 to 30 seconds after the first signal.
_DEADLINE = 15.0

_last_resorts: list[Callable[[], None]] = []


class _StopRequest:
    """The first signal raises KeyboardInterrupt in the main thread; those after it do nothing."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._asked_at: float | None = None
        self._told = False
        self._over = threading.Event()
        self.deferrals = 0

    def handle(self, signum: int, frame: object) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        self.tell()

    @property
    def asked(self) -> bool:
        return self._asked_at is not None

    def tell(self) -> None:
        if self.asked and not self._told and self.deferrals == 0:
            self._told = True
            raise KeyboardInterrupt

    # Started before any signal: a handler that starts threads may wait for a lock of its own.
    def enforce(self) -> None:
        while not self._over.wait(0.25):
            if self._asked_at is not None and time.monotonic() > self._asked_at + self._deadline:
                logger.error("ending in order took more than %g seconds", self._deadline)
                for end in list(_last_resorts):
                    try:
                        end()
                    except Exception as error:
                        logger.error("cannot end what was started: %s", error)
                os._exit(INTERRUPTED)

    def finish(self) -> None:
        self._over.set()


_current: _StopRequest | None = None


@contextlib.contextmanager
def stopping_in_order(deadline: float = _DEADLINE) -> Iterator[None]:
    """Lets the first SIGINT or SIGTERM raise KeyboardInterrupt, and ignores those after it.

    A block that has not ended ``deadline`` seconds after the signal is given up: what was
    registered with ``as_last_resort`` is called, and the process exits with 130.

    Args:
        deadline: seconds.
    """
    global _current
    if threading.current_thread() is not threading.main_thread():  # has no signals to handle
        yield
        return
    request = _current = _StopRequest(deadline)
    threading.Thread(target=request.enforce, name="stop-signals", daemon=True).start()
    before = {each: signal.signal(each, request.handle) for each in _SIGNALS}
    try:
        yield
    finally:
        _current = None
        request.finish()
        for each, handler in before.items():
            # A second signal must not end the process with another exit code.
            signal.signal(each, signal.SIG_IGN if request.asked else handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Lets a block run to its end before a signal raises KeyboardInterrupt."""
    request = _current
    if request is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    request.deferrals += 1
    try:
        yield
    finally:
        request.deferrals -= 1
        request.tell()


@contextlib.contextmanager
def as_last_resort(end: Callable[[], None]) -> Iterator[None]:
    """Has a function called if the program must be ended out of order while the block runs."""
    _last_resorts.append(end)
    try:
        yield
    finally:
        _last_resorts.remove(end)
