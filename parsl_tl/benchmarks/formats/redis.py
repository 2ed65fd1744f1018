"""Tensors as values in a Redis server."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.redis_server import redis_missing
from parsl_tl.benchmarks.formats.bench_model import PARTS, WHOLE, Array, BenchModel, LayerWeights
from parsl_tl.benchmarks.formats.operation import ArrayFormat, Case, KeptModels, Operation, as_bytes


class RedisValues(KeptModels):
    """Each array of each layer as one value, all of a model in one MSET or MGET."""

    name = "redis"
    how_written = dict.fromkeys(PARTS, "mset")

    def __init__(self, case: Case, model: BenchModel, out: LayerWeights, index: int) -> None:
        """Connects."""
        super().__init__(case, model, out, index)
        redis: Any = importlib.import_module("redis")
        self._client: Any = redis.Redis(unix_socket_path=case.redis_socket)
        # Views, which the client hands to the socket as they are.
        self._values = {part: as_bytes(model.arrays(part)) for part in {WHOLE, *case.parts}}
        self._shapes = {part: [array.shape for array in model.arrays(part)] for part in case.parts}

    def write(self, number: int, part: str) -> None:
        """See ``KeptModels``."""
        self._client.mset(dict(zip(self._keys(number, part), self._values[part], strict=True)))

    def reads(self, part: str) -> list[Operation]:
        """See ``KeptModels``."""
        return [self.read(part, "mget", lambda: self.stored(0, part))]

    def stored(self, number: int, part: str) -> list[Array]:
        """See ``KeptModels``."""
        values = self._client.mget(self._keys(number, part))
        return [
            np.frombuffer(value, np.float32).reshape(shape)
            for value, shape in zip(values, self._shapes[part], strict=True)
        ]

    def delete(self, number: int) -> None:
        """See ``KeptModels``."""
        self._client.delete(*self._keys(number, WHOLE))

    def close(self) -> None:
        """Removes this process's values and ends the connection."""
        self.delete(0)
        self._client.close()

    def _keys(self, number: int, part: str) -> list[str]:
        return [
            f"{self.index}:{number}:{name}:{array}"
            for name, arrays in self.model.layers(part).items()
            for array in range(len(arrays))
        ]


FORMAT = ArrayFormat(
    "redis",
    5,
    {"store": (), "remote": ()},
    lambda *given: [RedisValues(*given)],
    lambda: redis_missing(),
)
