"""Baselines that keep nothing: copies from memory to memory, and the transport alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.servers import bare_transport
from parsl_tl.benchmarks.formats.bench_model import Array, flat
from parsl_tl.benchmarks.formats.method import (
    FRESH,
    INTO,
    READ,
    WRITE,
    Method,
    Operation,
    copy_all,
)


class _Copies(Method):
    """Into arrays that are there; beside servers, which allocate, into new ones as well."""

    name, rank, suites = "memcpy", 0, ("store", "remote")

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


class _Bare(Method):
    """A client of a bare server; a model goes in one piece. There is nothing to compare.

    Puts are thrown away. Thallium's gets land in memory that the client has. Flight receives into
    memory of its own: ``get`` throws that away, ``into`` copies it into an array, as the store has
    to.
    """

    name, rank, suites = "bare", 1, ("remote",)

    def operations(self) -> list[Operation]:
        if not self.case.bare:
            return []
        address = self.case.bare[self.index % len(self.case.bare)]
        client: Any = bare_transport(self.case.scheme).BareClient(address)
        moved = [operation for part in self.case.parts for operation in self._moves(client, part)]
        return [*moved, *self.asked("rpc", lambda *_: client.rpc())]

    def _moves(self, client: Any, part: str) -> list[Operation]:
        piece = np.concatenate([a.reshape(-1).view(np.uint8) for a in self.model.arrays(part)])
        found = [
            Operation(self.name, WRITE, part, "put", lambda: client.put(piece)),
            Operation(self.name, READ, part, "get", lambda: client.get(piece.nbytes)),
        ]
        if hasattr(client, "get_into"):
            found.append(Operation(self.name, READ, part, INTO, lambda: client.get_into(piece)))
        return found
