"""When a search rewrites its tables: the longer that takes, the more rarely."""

from __future__ import annotations

import time
from collections.abc import Callable

_SHORTEST_PAUSE = 15.0
# Tables are rewritten whole, so that their cost grows with the search; its share stays at 2%.
_PAUSE_PER_SECOND = 50.0


class RareWriting:
    """Writes tables now and then, and spends at most a fiftieth of the time on it."""

    def __init__(
        self, write: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts the first pause.

        Args:
            write: writes the tables.
            clock: gives the time in seconds.
        """
        self._write = write
        self._clock = clock
        self._due = clock() + _SHORTEST_PAUSE

    def write_when_due(self) -> None:
        """Writes the tables if the pause since the last time is over."""
        started = self._clock()
        if started < self._due:
            return
        self._write()
        ended = self._clock()
        self._due = ended + max(_SHORTEST_PAUSE, _PAUSE_PER_SECOND * (ended - started))
