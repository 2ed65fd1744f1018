"""Tensors as values in a Redis server."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from parsl_tl.benchmarks.formats.bench_model import WHOLE, Array, BenchModel
from parsl_tl.benchmarks.formats.operation import READ, WRITE, Method, Operation, as_bytes


class RedisValues(Method):
    """Each array of each layer as one value, all of a model in one MSET or MGET."""

    def __init__(self, model: BenchModel, socket: str, worker: int, parts: Sequence[str]) -> None:
        """Connects.

        Args:
            model: what is written.
            socket: of the server.
            worker: number of this process, so that keys of processes differ.
            parts: of the model.
        """
        redis: Any = importlib.import_module("redis")
        self._client: Any = redis.Redis(unix_socket_path=socket)
        self._model, self._worker, self._parts = model, worker, parts
        self._numbers = itertools.count(1)
        # Views, which the client hands to the socket as they are.
        self._values = {part: as_bytes(model.arrays(part)) for part in {WHOLE, *parts}}
        self._shapes = {part: [array.shape for array in model.arrays(part)] for part in parts}

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self._write(0, WHOLE)
        return [op for part in self._parts for op in (self._write_op(part), self._read_op(part))]

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
            *("redis", WRITE, part, "mset"),
            run=lambda: self._write(number, part),
            arrays=lambda _: self._read(number, part),
            before=before,
            after=lambda: self._client.delete(*self._keys(number, part)),
        )

    def _read_op(self, part: str) -> Operation:
        return Operation("redis", READ, part, "mget", lambda: self._read(0, part), lambda got: got)
