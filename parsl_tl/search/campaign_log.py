"""A campaign's log file, beside those of other campaigns in the same process."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from parsl_tl.log_file import LogFile

_searching: dict[int, Path] = {}  # which log belongs to a thread that searches


@contextlib.contextmanager
def campaign_log(path: Path) -> Iterator[None]:
    """Writes to a file what is logged meanwhile, without what other campaigns' threads log.

    Args:
        path: the file; it is appended to.
    """
    handler = LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: _searching.get(record.thread or 0, path) == path)
    root = logging.getLogger("parsl_tl")
    root.addHandler(handler)
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
    thread = threading.get_ident()
    _searching[thread] = path
    try:
        yield
    finally:
        del _searching[thread]
        root.removeHandler(handler)
        handler.close()
