"""A campaign's log file, beside those of other campaigns in the same process."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parsl_tl.events.notes import Writes
from parsl_tl.log_file import LogFile

_MOST_ALIKE = 1000
_MOST_LETTERS = 8000
_searching: dict[int, Path] = {}  # which log belongs to a thread that searches


@contextlib.contextmanager
def campaign_log(path: Path, write: Writes | None = None) -> Iterator[None]:
    """Writes to a file what is logged meanwhile, without what other campaigns' threads log.

    Args:
        path: the file; it is appended to.
        write: is given the warnings, too, for the record of the campaign.
    """
    log = LogFile(path)
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handlers: list[logging.Handler] = [log] if write is None else [log, NotedWarnings(write)]
    root = logging.getLogger("parsl_tl")
    for handler in handlers:
        handler.addFilter(lambda record: _searching.get(record.thread or 0, path) == path)
        root.addHandler(handler)
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
    thread = threading.get_ident()
    _searching[thread] = path
    try:
        yield
    finally:
        del _searching[thread]
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


class NotedWarnings(logging.Handler):
    """Notes warnings in a record, unless what they tell is there already.

    Args:
        write: takes a line.
    """

    def __init__(self, write: Writes) -> None:
        super().__init__(logging.WARNING)
        self._write = write
        self._alike: Counter[Any] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Notes a warning; of those that are alike, not more than anybody reads."""
        self._alike[record.msg] += 1
        if getattr(record, "in_record", False) or self._alike[record.msg] > _MOST_ALIKE:
            return
        text = self.format(record)
        if len(text) > _MOST_LETTERS:
            text = f"{text[: _MOST_LETTERS - 3]}..."
        self._write("warning", level=record.levelname, text=text)
