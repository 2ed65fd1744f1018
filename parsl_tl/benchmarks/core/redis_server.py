"""A Redis server of a benchmark's own, started and ended by it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from parsl_tl.benchmarks.core.programs import Program, end_programs, is_ready, start_program
from parsl_tl.errors import BenchmarkError

_START_SECONDS = 10.0


def redis_missing() -> str | None:
    """Returns why ``RedisServer`` cannot be used, in one line, or None."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed: apt-get install redis-server"
    if importlib.util.find_spec("redis") is None:
        return "the redis package is not installed: pip install redis"
    return None


class RedisServer(contextlib.ExitStack):
    """A server on ``socket``, a path in a temporary folder; use it in a ``with``.

    Clients take its address as ``url``.
    """

    def __init__(self, append_to: Path | None = None, synced: bool = True) -> None:
        """Nothing is started yet.

        Args:
            append_to: an existing folder, in which the server logs all that is written to it (its
                append-only file); None for a server that never writes to disk.
            synced: it answers when its log is on the disk (fsync), and not before.

        Raises:
            BenchmarkError: redis-server or its Python package is not installed.
        """
        super().__init__()
        if (missing := redis_missing()) is not None:
            raise BenchmarkError(missing)
        own = tempfile.TemporaryDirectory(prefix="parsl_tl_redis_")
        folder, log = self.enter_context(own), "--appendonly no"
        self.socket = f"{folder}/redis.sock"
        self.url = f"unix://{self.socket}"
        if append_to is not None:
            folder, when = str(append_to.resolve()), "always" if synced else "no"
            # The log stays as it was written, so that its size tells what was.
            log = f"--appendonly yes --auto-aof-rewrite-percentage 0 --appendfsync {when}"
        self._command = ["redis-server", "--port", "0", "--unixsocket", self.socket]
        self._command += ["--dir", folder, "--save", "", *log.split()]
        self._process: Program | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        is_running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and is_running else None

    def __enter__(self) -> Self:
        quiet = subprocess.DEVNULL
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            self._process = start_program(self._command, stdout=quiet, stderr=quiet)
            self.callback(end_programs, [self._process])
            if not is_ready(self._process, self._answers, _START_SECONDS):
                raise BenchmarkError(
                    f"redis-server did not start (exit status {self._process.poll()}); "
                    "run `redis-server --port 0` to see why, or leave redis out of --methods"
                )
            stack.pop_all()
        return self

    def connect(self) -> Any:
        """Returns a new client; who asks for it closes it."""
        redis: Any = importlib.import_module("redis")
        # The client's own retries wait for seconds, which a start does not take.
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        return redis.Redis(unix_socket_path=self.socket, retry=retry)

    def _answers(self) -> bool:
        with self.connect() as client:
            try:
                return bool(client.ping())
            except (importlib.import_module("redis").ConnectionError, FileNotFoundError):
                return False
