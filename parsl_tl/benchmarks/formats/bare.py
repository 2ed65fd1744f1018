"""The transport alone, carrying as many bytes.

Puts are thrown away. Thallium's gets land in memory that the client has. Flight receives into
memory of its own: ``get`` throws that away, ``into`` copies it into an array, as the store has to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.baselines import bare_transport
from parsl_tl.benchmarks.formats.method import INTO, READ, WRITE, Method, Operation


class _Bare(Method):
    """A client of a bare server; a model goes in one piece. There is nothing to compare."""

    name, rank = "bare", 1
    suites = ("remote",)

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
