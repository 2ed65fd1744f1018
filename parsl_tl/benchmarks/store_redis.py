"""A Redis server that holds tensors as values."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from parsl_tl.benchmarks.lcp_baselines import redis_missing
from parsl_tl.benchmarks.store_methods import READ, WRITE, Method, Operation, as_bytes
from parsl_tl.benchmarks.store_models import PARTS, WHOLE, Array, BenchModel
from parsl_tl.errors import BenchmarkError

_START_SECONDS = 10.0


class RedisServer:
    """A server on a socket in a temporary folder; never writes to disk. Use it in a ``with``."""

    def __init__(self) -> None:
        """Nothing is started yet.

        Raises:
            BenchmarkError: redis-server or its Python package is not installed.
        """
        missing = redis_missing()
        if missing is not None:
            raise BenchmarkError(missing)
        self._folder = tempfile.TemporaryDirectory(prefix="parsl_tl_redis_")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """Path of the socket on which the server listens."""
        return str(Path(self._folder.name) / "redis.sock")

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> RedisServer:
        """Starts the server.

        Raises:
            BenchmarkError: it does not come up.
        """
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket]
        command += ["--dir", self._folder.name, "--save", "", "--appendonly", "no"]
        quiet = subprocess.DEVNULL
        try:
            # In a session of its own: Ctrl-C is for the benchmark, which then ends the server.
            self._process = subprocess.Popen(
                command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
            )
            self._wait_for_start(self._process)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_for_start(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if Path(self.socket).exists():
                return
            time.sleep(0.02)
        raise BenchmarkError(
            f"redis-server did not start (exit status {process.poll()}); "
            "run `redis-server --port 0` to see why, or leave redis out of --methods"
        )

    def close(self) -> None:
        """Ends the server and removes its folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=_START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._folder.cleanup()


class Redis(Method):
    """Each array of each layer as one value, all of a model in one MSET or MGET."""

    def __init__(self, model: BenchModel, socket: str, worker: int) -> None:
        """Connects.

        Args:
            model: what is written.
            socket: of the server.
            worker: number of this process, so that keys of processes differ.
        """
        redis: Any = importlib.import_module("redis")
        self._client: Any = redis.Redis(unix_socket_path=socket)
        self._model = model
        self._worker = worker
        self._numbers = itertools.count(1)
        # Views, which the client hands to the socket as they are.
        self._values = {part: as_bytes(model.arrays(part)) for part in PARTS}
        self._shapes = {part: [array.shape for array in model.arrays(part)] for part in PARTS}

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self._write(0, WHOLE)
        return [op for part in PARTS for op in (self._write_op(part), self._read_op(part))]

    def close(self) -> None:
        """Removes this process's values and ends the connection."""
        self._client.delete(*self._keys(0, WHOLE))
        self._client.close()

    def _keys(self, number: int, part: str) -> list[str]:
        return [
            f"{self._worker}:{number}:{name}:{index}"
            for name, arrays in self._model.layers(part).items()
            for index in range(len(arrays))
        ]

    def _write(self, number: int, part: str) -> None:
        keys = self._keys(number, part)
        self._client.mset(dict(zip(keys, self._values[part], strict=True)))

    def _read(self, number: int, part: str) -> list[Array]:
        values = self._client.mget(self._keys(number, part))
        return [
            np.frombuffer(value, np.float32).reshape(shape)
            for value, shape in zip(values, self._shapes[part], strict=True)
        ]

    def _write_op(self, part: str) -> Operation:
        number = 0

        def before() -> None:
            nonlocal number
            number = next(self._numbers)

        return Operation(
            "redis",
            WRITE,
            part,
            "mset",
            lambda: self._write(number, part),
            lambda _: self._read(number, part),
            before,
            lambda: self._client.delete(*self._keys(number, part)),
        )

    def _read_op(self, part: str) -> Operation:
        def run() -> list[Array]:
            return self._read(0, part)

        return Operation("redis", READ, part, "mget", run, lambda result: result)
