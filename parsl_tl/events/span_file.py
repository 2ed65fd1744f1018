"""The file of a process's spans: lines of OTLP-JSON, written as tasks end."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import IO, Any, Final

from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

from parsl_tl.events.process_facts import new_file_name, process_facts

logger = logging.getLogger(__name__)

# Who is killed in a long task leaves all but the last second of what had ended, and who ends many
# short spans writes them together.
_SECONDS_BETWEEN_WRITES: Final = 1.0
_MOST_WAITING: Final = 1024


class SpanFile(SpanProcessor):  # type: ignore[misc]
    """Writes spans that have ended: soon, and at the latest when it is told to.

    It has no thread, so that a process that is forked loses none. A file that cannot be written
    ends the record of this process, and nothing else.
    """

    def __init__(self, folder: Path, role: str) -> None:
        """Writes nothing yet.

        Args:
            folder: of the record; it is never made here.
            role: of the process, which begins the file's name.
        """
        self._path = folder / new_file_name(process_facts(role))
        self._stream: IO[str] | None = None
        self._exporter: Any = None
        self._waiting: list[ReadableSpan] = []
        self._written = time.monotonic()
        self._failed = False
        self._lock = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        """Takes a span that has ended."""
        if self._failed or not span.context.trace_flags.sampled:
            return
        with self._lock:
            self._waiting.append(span)
            is_due = time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES
            if is_due or len(self._waiting) >= _MOST_WAITING:
                self._write()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Writes what has ended; returns whether it could be written."""
        with self._lock:
            self._write()
        return not self._failed

    def shutdown(self) -> None:
        """Writes what has ended, and takes nothing more."""
        with self._lock:
            self._write()
            self._failed = True
            if self._stream is not None:
                self._stream.close()

    def _write(self) -> None:
        spans, self._waiting = self._waiting, []
        self._written = time.monotonic()
        if not spans or self._failed:
            return
        try:
            if self._stream is None:
                self._stream = self._path.open("a", encoding="utf-8")
                self._exporter = FileSpanExporter(stream=self._stream)
            self._failed = self._exporter.export(spans) is not SpanExportResult.SUCCESS
        except OSError as error:
            logger.warning("this process records no spans: %s", error)
            self._failed = True
