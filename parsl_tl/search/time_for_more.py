"""Whether a search has the time for one more evaluation before its end."""

from __future__ import annotations

import asyncio
from collections import deque

from parsl_tl.block_end import likely_seconds

_REMEMBERED = 32


class TimeForMore:
    """Knows how long evaluations took, and holds back what would not end in time.

    What is held back ends when the search's time is over, or when nothing else runs any more: then
    the search can end at once.
    """

    def __init__(self) -> None:
        self._measured: deque[float] = deque(maxlen=_REMEMBERED)
        self._running = 0
        self._held: list[asyncio.Future[None]] = []

    def note(self, seconds: float) -> None:
        """Notes how long an evaluation took in its worker."""
        self._measured.append(seconds)

    def begun(self) -> None:
        """Notes that an evaluation was sent to run."""
        self._running += 1

    def ended(self) -> None:
        """Notes that one has come back, or was given up."""
        self._running -= 1
        if self._running == 0:
            held, self._held = self._held, []
            for one in held:
                if not one.done():
                    one.set_result(None)

    async def has_enough(self, seconds: float | None) -> bool:
        """Returns whether one more evaluation is likely to end in time; if not, when it is over.

        Args:
            seconds: that the search has left; None for no limit.
        """
        if seconds is None or likely_seconds(self._measured) <= seconds:
            return True
        if self._running:
            over = asyncio.get_running_loop().create_future()
            self._held.append(over)
            await asyncio.wait({over}, timeout=seconds)
        return False
