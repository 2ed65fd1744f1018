"""_Copies from memory to memory: the baseline for reads."""

from __future__ import annotations

from parsl_tl.benchmarks.formats.bench_model import Array, flat
from parsl_tl.benchmarks.formats.method import FRESH, INTO, Method, Operation, copy_all


class _Copies(Method):
    """Into arrays that are there; beside servers, which allocate, into new ones as well."""

    name, rank = "memcpy", 0
    suites = ("store", "remote")

    def operations(self) -> list[Operation]:
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
