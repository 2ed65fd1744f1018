"""Storing in the background: the next evaluation starts while a model is on its way to the store.

What goes wrong here can be reported only with a later evaluation of the same process. A process
that is killed takes what it had not stored yet with it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

from parsl_tl.events import flush
from parsl_tl.store.model_id import format_model_id
from parsl_tl.transfer.connections import before_disconnecting

logger = logging.getLogger(__name__)

MOST_PENDING: Final = 2
"""Models that a process has on the way at most: as many are in memory beside the one in work."""


@dataclass(frozen=True)
class PendingModel:
    """A model on its way to the store.

    Attributes:
        model_id: its id.
        layer_keys: the keys of its graph's layers.
        quality: its objective.
        fingerprint: of the data that it was trained on.
        done: when it got there; never an exception.
    """

    model_id: int
    layer_keys: frozenset[int]
    quality: float
    fingerprint: int
    done: Future[None]


class PendingWriter:
    """Stores the models of one process in one store, in order, at most two ahead.

    Use ``pending_writer_of``: what is on the way belongs to the process, not to an evaluation.
    """

    def __init__(self) -> None:
        # One thread, so that a child follows its parent.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store-model")
        self._pending: list[PendingModel] = []
        self._failures: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def pending(self) -> list[PendingModel]:
        """What is on its way."""
        with self._lock:
            self._pending = [item for item in self._pending if not item.done.done()]
            return list(self._pending)

    def put(
        self,
        model_id: int,
        layer_keys: Iterable[int],
        quality: float,
        store: Callable[[], object],
        fingerprint: int = 0,
    ) -> dict[int, str]:
        """Stores a model soon; waits first if too many are on their way.

        Args:
            model_id: its id.
            layer_keys: the keys of its graph's layers.
            quality: its objective.
            store: does it; what it raises is returned by a later call.
            fingerprint: of the data that it was trained on.

        Returns:
            What went wrong with earlier models since the last time, by model id.
        """
        while len(pending := self.pending) >= MOST_PENDING:
            wait([pending[0].done])
        with self._lock:
            failures, self._failures = self._failures, {}
        # For who records, storing is a part of this evaluation.
        done = self._executor.submit(copy_context().run, self._run, model_id, store)
        with self._lock:
            self._pending.append(
                PendingModel(model_id, frozenset(layer_keys), quality, fingerprint, done)
            )
        return failures

    def _run(self, model_id: int, store: Callable[[], object]) -> None:
        try:
            store()
            flush()  # the evaluation may have ended, and the next one not begun
        except Exception as error:
            logger.warning("model %s was not stored: %s", format_model_id(model_id), error)
            with self._lock:
                self._failures[model_id] = f"{type(error).__name__}: {error}"

    def wait_for(self, model_id: int | None) -> None:
        """Waits until a model is no longer on its way, if it is."""
        wait([item.done for item in self.pending if item.model_id == model_id])

    def close(self) -> None:
        """Waits for what is on its way, and takes nothing more."""
        self._executor.shutdown(wait=True)


_writers: dict[tuple[int, str], PendingWriter] = {}
_lock = threading.Lock()


def pending_writer_of(uri: str) -> PendingWriter:
    """Returns this process's writer for a store, started on first use."""
    key = (os.getpid(), uri)
    with _lock:
        if key not in _writers:
            _writers[key] = PendingWriter()
        return _writers[key]


def _close(uri: str | None) -> None:
    with _lock:
        keys = [key for key in _writers if key[0] == os.getpid() and uri in (None, key[1])]
        closing = [_writers.pop(key) for key in keys]
    for writer in closing:  # its failures are in the log; nobody else is left to hear of them
        writer.close()


before_disconnecting(_close)
