"""Parts of something that follow each other without a gap, so that they sum to its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from parsl_tl.events.spans import Span, span


class Slices:
    """The parts of one thing; each begins where the one before ended.

    Attributes:
        marks: name and begin of each part, in nanoseconds since 1970. A part within a part ends the
            outer one's slice, which goes on under the same name after it.
        end_ns: when the last part ended.
    """

    def __init__(self, begin_ns: int) -> None:
        """Has no part yet.

        Args:
            begin_ns: when the thing began, and its first part with it.
        """
        self.marks: list[tuple[str, int]] = []
        self.end_ns = begin_ns
        self._around: str | None = None

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[Span]:
        """Records a part, as a span too where somebody records these."""
        around, begin = self._around, self.end_ns
        if around is not None:
            begin = time.time_ns()
        self.mark(name, begin)
        self._around = name
        with span(name, begin_ns=begin) as here:
            try:
                yield here
            finally:
                self._around, self.end_ns = around, time.time_ns()
                here.ends_at(self.end_ns)
                if around is not None:
                    self.mark(around, self.end_ns)

    def mark(self, name: str, time_ns: int) -> None:
        """Begins a slice, which ends where the next one begins."""
        self.marks.append((name, time_ns))
