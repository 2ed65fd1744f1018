"""Live progress of a search in a notebook: one cell that is drawn again in its place."""

from __future__ import annotations

import html
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Any, Final, Self

from parsl_tl.search.progress import SearchProgress, sparkline

_SECONDS_BETWEEN_LOOKS: Final = 0.5
_MOST_TOLD: Final = 5


def progress_here(total: int) -> AbstractContextManager[SearchProgress]:
    """Returns the display for who has named none: a cell in a notebook, and silence elsewhere.

    Args:
        total: evaluations wanted.
    """
    return NotebookProgress(total) if _is_notebook() else nullcontext(SearchProgress(total))


def _is_notebook() -> bool:
    """Returns whether this is a kernel of Jupyter; imports nothing to find out."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookProgress(SearchProgress):
    """Counts evaluations, and shows the counts in a cell while used as a context manager."""

    def __init__(self, total: int) -> None:
        """Prepares the display; see ``SearchProgress``."""
        super().__init__(total)
        self._told: list[str] = []
        self._handle: Any = None

    def _say(self, text: str) -> None:
        self._told = [*self._told, text][-_MOST_TOLD:]

    def _repr_html_(self) -> str:
        """Shows how far the search is, its best network, and why evaluations failed."""
        share = f'value="{self.done}" max="{self.total}"' if self.total else ""
        rows = [
            f"<progress {share} style='width:20em'></progress> {self.elapsed()}",
            html.escape(self.summary()),
        ]
        if self.best is not None:
            grown = sparkline(self._growth)
            rows.append(f"<code>{grown}</code> best: {html.escape(self.network or '')}")
        if self.failures:
            counts = (
                f"<tr><th>{html.escape(reason)}</th><td>{count}</td></tr>"
                for reason, count in self.failures.most_common()
            )
            rows.append(f"<table><tr><th>failed</th><th></th></tr>{''.join(counts)}</table>")
        rows += [f"<small>{html.escape(text)}</small>" for text in self._told]
        return "".join(f"<div>{row}</div>" for row in rows)

    def __repr__(self) -> str:
        return self.summary()

    def __enter__(self) -> Self:
        from IPython.display import display

        self._is_shown = True
        self._handle = display(self, display_id=True)
        # In a context like this one, so that the kernel knows which cell it is for.
        self._ticker = threading.Thread(target=copy_context().run, args=(self._tick,), daemon=True)
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._ticker is not None:
            self._ticker.join()
        self._handle.update(self)

    def _tick(self) -> None:
        shown = ""
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            now = self._repr_html_()
            if now != shown:
                self._handle.update(self)
                shown = now
