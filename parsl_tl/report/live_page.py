"""The page of runs as they go on: read again and again, and told to whoever looks."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from parsl_tl.report.page import rows_of, sections, whole_page
from parsl_tl.report.run import Run, RunReader

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS: Final = 0.5
# Views are drawn anew whole, so that a long run costs more; the share of the time stays small.
_PAUSE_PER_SECOND: Final = 8.0
_LEAST_PAUSE: Final = 1.0
# Without news, what is told of the time still grows old.
_LONGEST_PAUSE: Final = 10.0
# A reader that does not read is not waited for.
_MOST_WAITING: Final = 256

Message = tuple[str, str]
"""Name and data of an event for the browser."""


class LivePage:
    """What the page of some runs says now, and what is new in it.

    All methods may be called from any thread.
    """

    def __init__(self, folders: Sequence[Path], wanted: Sequence[float] | None = None) -> None:
        """Reads the runs once.

        Args:
            folders: of the runs.
            wanted: values of the objective, for the time to reach them.

        Raises:
            CampaignError: a folder holds no campaign, or its journal is damaged.
        """
        self._readers = [RunReader(folder) for folder in folders]
        self._wanted = wanted
        self._lock = threading.Lock()
        self._listeners: set[queue.Queue[Message | None]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="run watcher")
        for reader in self._readers:
            reader.read()
        self._runs: list[Run] = []
        self._sections: dict[str, str] = {}
        self._cost, self._version = 0.0, 0
        self._draw()

    def __enter__(self) -> LivePage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._lock:
            for listener in self._listeners:
                _put(listener, None)
        self._thread.join()

    def page(self) -> str:
        """Returns the whole page."""
        with self._lock:
            runs, parts, version = self._runs, dict(self._sections), self._version
        status = '<p class="live" role="status"><b>connecting</b></p>'
        return whole_page(runs, parts, f"<script>const VERSION={version};</script>", status)

    def rows(self, run: int, since: int) -> dict[str, Any]:
        """Returns the evaluations of a run from a number on; see ``rows_of``.

        Raises:
            IndexError: there is no such run.
        """
        with self._lock:
            if run < 0:
                raise IndexError(run)
            found = self._runs[run]
        return rows_of(found, since)

    @contextlib.contextmanager
    def news(self, version: int) -> Iterator[queue.Queue[Message | None]]:
        """Gives a queue of messages; None says that there will be no more.

        Args:
            version: of the page that the listener has; of another one, it is told everything.
        """
        listener: queue.Queue[Message | None] = queue.Queue(_MOST_WAITING)
        with self._lock:
            self._listeners.add(listener)
            if version != self._version:
                _put(listener, ("sections", json.dumps(self._sections)))
            _put(listener, self._counts())
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _watch(self) -> None:
        drawn = time.monotonic()
        changed = False
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                for reader in self._readers:
                    changed = reader.read() or changed
                waited = time.monotonic() - drawn
                pause = max(_LEAST_PAUSE, _PAUSE_PER_SECOND * self._cost)
                is_old = waited > max(pause, _LONGEST_PAUSE) and self._is_active()
                if (changed and waited > pause) or is_old:
                    self._draw()
                    drawn, changed = time.monotonic(), False
            except Exception as error:  # a folder that is damaged now may be whole again later
                logger.warning("the page is not up to date", exc_info=True)
                self._tell(("problem", json.dumps(f"not up to date: {error}")))
                self._stop.wait(_LONGEST_PAUSE)

    def _is_active(self) -> bool:
        with self._lock:
            return any(run.is_active for run in self._runs)

    def _draw(self) -> None:
        start = time.process_time()
        runs = [reader.run() for reader in self._readers]
        parts = sections(runs, self._wanted)
        self._cost = time.process_time() - start
        with self._lock:
            new = {key: text for key, text in parts.items() if self._sections.get(key) != text}
            self._runs, self._sections = runs, parts
            self._version += bool(new)
            counts = self._counts()
        if new:
            self._tell(("sections", json.dumps(new)))
        self._tell(counts)

    def _counts(self) -> Message:
        """Returns how many evaluations each run has, and who searches."""
        told = [{"rows": len(run.frame), "active": run.is_active} for run in self._runs]
        return "counts", json.dumps(told)

    def _tell(self, message: Message) -> None:
        with self._lock:
            for listener in self._listeners:
                _put(listener, message)


def _put(listener: queue.Queue[Message | None], message: Message | None) -> None:
    """Adds a message; one who has not read many before starts anew from the last ones."""
    try:
        listener.put_nowait(message)
    except queue.Full:
        with contextlib.suppress(queue.Empty):
            while True:
                listener.get_nowait()
        # The browser connects anew, and is told everything.
        listener.put_nowait(None)
