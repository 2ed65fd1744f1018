"""A log file on a disk that may be full."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path


class LogFile(logging.FileHandler):
    """Drops what cannot be written: whatever else needs the disk says so better."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Passes over a full disk; other errors are the program's, and are reported."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Closes the file, with or without what was left to write."""
        try:
            super().close()
        except OSError:
            self.stream = None


def last_lines(path: str | os.PathLike[str], count: int) -> str:
    """Returns the last lines of a log, whatever bytes are in it; "" for an empty one.

    Args:
        path: of the log.
        count: of lines.

    Raises:
        OSError: it cannot be read.
    """
    return "\n".join(Path(path).read_text(errors="replace").splitlines()[-count:])
