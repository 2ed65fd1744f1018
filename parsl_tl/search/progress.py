"""Live progress of a search: a panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from parsl_tl.search.store_failures import StoreFailures

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0
_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 30
_MOST_LETTERS = 160
# Failures may go on and on: each is counted, and the first of a reason is told by itself.
_TOLD_BY_REASON = 1


class SearchProgress:
    """Counts evaluations, and shows the counts while used as a context manager.

    Attributes:
        failures: how many evaluations failed, by reason.
        store_failures: what the search had to do without because its store did not answer.
        best: the best objective; None before there is one.
        network: what the best network is, in a line.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        """Prepares the display.

        Args:
            total: evaluations wanted, those of an earlier run included; 0 when unlimited.
            console: where to show; standard output by default.
        """
        self.total = total
        self.console = console or Console()
        self.submitted = self.done = self.failed = self.recovered = 0
        self.failures: Counter[str] = Counter()
        self.store_failures = StoreFailures()
        self.best: float | None = None
        self.network: str | None = None
        self._growth: list[float] = []
        self._transferred = self._layers = self._children = 0
        self._start = time.monotonic()
        self._first_done: float | None = None
        self._is_shown = False
        self._live: Live | None = None
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def launched(self) -> None:
        """Counts an evaluation that started."""
        self.submitted += 1

    def restarted(self) -> None:
        """Notes that what was running will be started again."""
        self.submitted = self.done - self.recovered

    def finished(
        self,
        objective: float | str,
        metadata: Mapping[str, Any],
        *,
        earlier: bool = False,
        describe: Callable[[], str] | None = None,
    ) -> None:
        """Counts an evaluation that ended.

        Args:
            objective: its objective, or ``F_<reason>``.
            metadata: what it reported.
            earlier: it ended in an earlier run of the campaign.
            describe: says in a line what its network is.
        """
        self.done += 1
        if earlier:
            self.recovered += 1
        elif self._first_done is None:
            self._first_done = time.monotonic()
        self.store_failures.note(metadata)
        if isinstance(objective, str):
            self.failed += 1
            self._note_failure(objective.removeprefix("F_"), metadata, earlier)
            return
        if self.best is None or objective > self.best:
            self.best = objective
            self.network = None if describe is None else describe()
        self._growth.append(self.best)
        if metadata.get("parent") is not None:
            self._children += 1
            self._transferred += int(metadata.get("layers_transferred") or 0)
            self._layers += int(metadata.get("layers_total") or 0)

    def _note_failure(self, reason: str, metadata: Mapping[str, Any], earlier: bool) -> None:
        self.failures[reason] += 1
        if earlier or not self._is_shown or self.failures[reason] > _TOLD_BY_REASON:
            return
        text = " ".join(str(metadata.get("error") or "it told no reason").split())
        if len(text) > _MOST_LETTERS:
            text = f"{text[: _MOST_LETTERS - 3]}..."
        where = f" on {metadata['worker']}" if metadata.get("worker") else ""
        self._say(f"An evaluation failed{where}: {reason}: {text}")

    @property
    def transferred_share(self) -> float | None:
        """Share of the children's layers that were transferred; None before the first child."""
        return self._transferred / self._layers if self._layers else None

    def note(self, text: str) -> None:
        """Says something that whoever started the search should know."""
        logger.warning(text)
        self._say(text)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def seconds_left(self) -> float | None:
        """Estimates the time to the end from the pace so far; None before there is one."""
        here = self.done - self.recovered
        if not self.total or here < 2 or self._first_done is None:
            return None
        pace = (time.monotonic() - self._first_done) / (here - 1)
        return pace * max(0, self.total - self.done)

    def summary(self) -> str:
        """Returns the state in one line."""
        running = self.submitted - (self.done - self.recovered)
        share = self.transferred_share
        left = self.seconds_left()
        parts = [
            f"{self.done}/{self.total or '?'} done",
            f"{running} running",
            f"{self.failed} failed" + self._reasons(),
            "best " + ("-" if self.best is None else f"{self.best:.4f}"),
            "transferred " + ("-" if share is None else f"{share:.0%} of layers"),
            ("starting workers" if self.submitted and not self.done else "time left -")
            if left is None
            else f"time left {_clock(left)}",
        ]
        if self.store_failures:
            parts.append(str(self.store_failures))
        return " · ".join(parts)

    def _reasons(self) -> str:
        told = ", ".join(f"{reason} {count}" for reason, count in self.failures.most_common(3))
        more = ", ..." if len(self.failures) > 3 else ""
        return f" ({told}{more})" if told else ""

    def elapsed(self) -> str:
        """Returns the time since the start, as clocks show it."""
        return _clock(time.monotonic() - self._start)

    def __rich__(self) -> Group:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=self.total or None, completed=self.done, width=30),
            Text(self.elapsed(), style="dim"),
            Text(sparkline(self._growth), style="cyan"),
        )
        lines = [Text(self.summary())]
        if self.network:
            lines.append(Text(f"best: {self.network}", no_wrap=True, overflow="ellipsis"))
        return Group(grid, *lines)

    def __enter__(self) -> Self:
        self._is_shown = True
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4)
            self._live.start()
        else:
            self._ticker = threading.Thread(target=self._print_lines, daemon=True)
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._live is not None:
            self._live.stop()
        if self._ticker is not None:
            self._ticker.join()
            self.console.print(self.summary(), highlight=False, soft_wrap=True)

    def _print_lines(self) -> None:
        shown = ""
        while not self._stop.wait(_SECONDS_BETWEEN_LINES):
            line = self.summary()
            if line != shown:
                self.console.print(line, highlight=False, soft_wrap=True)
                shown = line


def sparkline(values: Sequence[float], width: int = _SPARKS) -> str:
    """Draws how the best value grew, as a line of small bars; nothing for a single value.

    Args:
        values: the best so far, as evaluations succeeded.
        width: letters at most.
    """
    if len(values) < 2:
        return ""
    count = min(width, len(values))
    drawn = [values[(number + 1) * len(values) // count - 1] for number in range(count)]
    low, high = drawn[0], drawn[-1]
    span = high - low
    if not 0 < span < math.inf:  # nothing has grown: a flat line, and not a full one
        return _BARS[0] * count
    # Divided first: of a span that is nearly nothing, nothing larger than one is made.
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in drawn)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
