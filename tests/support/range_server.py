"""A web server on loopback that serves a folder in ranges, and can stop in the middle of a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class RangeServer(ThreadingHTTPServer):
    """Serves files; ``stop_after`` bytes of one answer it waits until ``go_on`` is set.

    ``ranges`` lists what was asked for: a path, and where the range began (None for all of it).
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.stop_after: int | None = None
        self.stopped = threading.Event()
        self.go_on = threading.Event()
        self.break_off_after: int | None = None
        self.ranges: list[tuple[str, int | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer

    def do_GET(self) -> None:
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, version = path.read_bytes(), formatdate(path.stat().st_mtime, usegmt=True)
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else None
        self.server.ranges.append((path.name, start))
        if start is not None and self.headers.get("If-Range") != version:
            start = None
        if start is not None and start >= len(content):
            self.send_error(416)
            return
        rest = content[start or 0 :]
        self.send_response(200 if start is None else 206)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("Last-Modified", version)
        self.end_headers()
        if self.server.break_off_after is not None:
            rest, self.server.break_off_after = rest[: self.server.break_off_after], None
            self.close_connection = True
        elif self.server.stop_after is not None:
            self.wfile.write(rest[: self.server.stop_after])
            rest, self.server.stop_after = rest[self.server.stop_after :], None
            self.server.stopped.set()
            self.server.go_on.wait()
        self.wfile.write(rest)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    server = RangeServer(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
