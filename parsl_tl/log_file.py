"""A log file on a disk that may be full."""

from __future__ import annotations

import logging
import sys


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
