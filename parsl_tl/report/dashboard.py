"""The server of the live page: on this machine alone, for those who have its token."""

from __future__ import annotations

import getpass
import hmac
import json
import queue
import secrets
import socket
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from parsl_tl.errors import InvalidValueError
from parsl_tl.report.live_page import LivePage

_HOST: Final = "127.0.0.1"
_SECONDS_BETWEEN_SIGNS_OF_LIFE: Final = 15.0
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_DENIED: Final = (
    "The token is missing or wrong. Open the address that parsl-tl dashboard printed, which has it."
)


class Dashboard:
    """Serves the live page of some runs; use it as a context manager.

    Attributes:
        port: where it listens.
        token: what every request must have.
    """

    def __init__(
        self, folders: Sequence[Path], *, port: int = 0, wanted: Sequence[float] | None = None
    ) -> None:
        """Reads the runs, and listens.

        Args:
            folders: of the runs.
            port: 0 takes any that is free.
            wanted: values of the objective, for the time to reach them.

        Raises:
            CampaignError: a folder holds no campaign, or its journal is damaged.
            InvalidValueError: the port is taken, or none that this user may have.
        """
        self.token = secrets.token_urlsafe(24)
        self._page = LivePage(folders, wanted)
        try:
            self._server = _Server((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidValueError(
                f"port {port} cannot be had: {getattr(error, 'strerror', None) or error}; name "
                "another one with --port, or leave it out"
            ) from error
        self._server.page, self._server.token = self._page, self.token
        self.port: int = self._server.server_address[1]

    @property
    def address(self) -> str:
        """What to open in a browser on this machine."""
        return f"http://{_HOST}:{self.port}/?token={self.token}"

    @property
    def tunnel(self) -> str:
        """The command that makes the address work on another machine."""
        here = f"{self.port}:{_HOST}:{self.port}"
        return f"ssh -N -L {here} {getpass.getuser()}@{socket.gethostname()}"

    def serve(self) -> None:
        """Answers requests until ``close`` is called, or an exception ends it."""
        with self._page:
            self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Ends ``serve``, if it runs in another thread, and gives the port back."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    page: LivePage
    token: str

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of browsers that go away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "parsl-tl", ""

    def do_GET(self) -> None:
        """Answers a request."""
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        given = query.get("token", "").encode()
        if not hmac.compare_digest(given, self.server.token.encode()):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", _DENIED)
        elif parts.path == "/":
            self._send(HTTPStatus.OK, "text/html", self.server.page.page())
        elif parts.path == "/rows":
            self._send_rows(query)
        elif parts.path == "/events":
            self._send_events(query.get("version", ""))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "There is no such page.")

    def _send_rows(self, query: dict[str, str]) -> None:
        try:
            rows = self.server.page.rows(int(query["run"]), max(0, int(query.get("since", 0))))
        except (KeyError, ValueError, IndexError):
            self._send(HTTPStatus.BAD_REQUEST, "text/plain", "run and since must be numbers.")
            return
        self._send(HTTPStatus.OK, "application/json", json.dumps(rows, separators=(",", ":")))

    def _send_events(self, version: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self._end_headers()
        self.close_connection = True
        with self.server.page.news(int(version) if version.isdecimal() else -1) as listener:
            while True:
                try:
                    message = listener.get(timeout=_SECONDS_BETWEEN_SIGNS_OF_LIFE)
                except queue.Empty:
                    self.wfile.write(b": still there\n\n")
                    continue
                if message is None:
                    return
                name, data = message
                self.wfile.write(f"event: {name}\ndata: {data}\n\n".encode())

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self._end_headers()
        self.wfile.write(data)

    def _end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing: requests have the token in them."""
