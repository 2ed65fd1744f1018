"""Copies from memory to memory: the baseline for reads."""

from __future__ import annotations

from parsl_tl.benchmarks.formats.bench_model import Array, flat
from parsl_tl.benchmarks.formats.operation import (
    FRESH,
    INTO,
    ArrayFormat,
    Method,
    Operation,
    copy_all,
)


class Copies(Method):
    """Into arrays that are there; beside servers, which allocate, into new ones as well."""

    name = "memcpy"

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        return [operation for part in self.case.parts for operation in self._copies(part)]

    def _copies(self, part: str) -> list[Operation]:
        sources, targets = self.model.arrays(part), flat(self.model.of(self.out, part))

        def into() -> list[Array]:
            copy_all(sources, targets)
            return targets

        if not self.case.scheme:
            return [self.read(part, "copyto", into)]
        fresh = self.read(part, FRESH, lambda: [source.copy() for source in sources])
        return [self.read(part, INTO, into), fresh]


FORMAT = ArrayFormat("memcpy", 0, {"store": (), "remote": ()}, lambda *given: [Copies(*given)])
