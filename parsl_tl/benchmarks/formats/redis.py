"""Tensors as values in a Redis server."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.servers import redis_missing
from parsl_tl.benchmarks.formats.bench_model import PARTS, WHOLE, Array
from parsl_tl.benchmarks.formats.method import KeptModels, Reader, as_bytes


class _Values(KeptModels):
    """Each array of each layer as one value, all of a model in one MSET or MGET."""

    name, rank, suites = "redis", 5, ("store", "remote")
    how_written = dict.fromkeys(PARTS, "mset")
    missing = staticmethod(lambda: redis_missing())

    def begin(self) -> None:
        redis: Any = importlib.import_module("redis")
        self._client: Any = redis.Redis(unix_socket_path=self.case.redis_socket)
        # Views, which the client hands to the socket as they are.
        parts = {part: self.model.arrays(part) for part in {WHOLE, *self.case.parts}}
        self._values = {part: as_bytes(arrays) for part, arrays in parts.items()}
        self._shapes = {part: [one.shape for one in arrays] for part, arrays in parts.items()}

    def write(self, number: int, part: str) -> None:
        self._client.mset(dict(zip(self._keys(number, part), self._values[part], strict=True)))

    def readers(self, part: str) -> Mapping[str, Reader]:
        return {"mget": lambda number: self._read(number, part)}

    def _read(self, number: int, part: str) -> list[Array]:
        values = self._client.mget(self._keys(number, part))
        both = zip(values, self._shapes[part], strict=True)
        return [np.frombuffer(value, np.float32).reshape(shape) for value, shape in both]

    def delete(self, number: int) -> None:
        self._client.delete(*self._keys(number, WHOLE))

    def close(self) -> None:
        self.delete(0)
        self._client.close()

    def _keys(self, number: int, part: str) -> list[str]:
        counts = ((name, len(arrays)) for name, arrays in self.model.layers(part).items())
        prefix = f"{self.index}:{number}"
        return [f"{prefix}:{name}:{array}" for name, count in counts for array in range(count)]
