"""The transport alone, carrying as many bytes; what it carries is thrown away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.baselines import bare_transport
from parsl_tl.benchmarks.core.queries import Question
from parsl_tl.benchmarks.formats.bench_model import WHOLE, BenchModel
from parsl_tl.benchmarks.formats.operation import QUERY, READ, WRITE, Method, Operation


class Bare(Method):
    """A client of a bare server; a model goes in one piece. There is nothing to compare."""

    def __init__(self, model: BenchModel, scheme: str, address: str, parts: Sequence[str]) -> None:
        """Connects."""
        self.client: Any = bare_transport(scheme).BareClient(address)
        self._pieces = {
            part: np.concatenate([a.reshape(-1).view(np.uint8) for a in model.arrays(part)])
            for part in parts
        }

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        return [op for part in self._pieces for op in (self._put(part), self._get(part))]

    def close(self) -> None:
        """See ``Method``."""
        self.client = None

    def _put(self, part: str) -> Operation:
        piece = self._pieces[part]
        return Operation("bare", WRITE, part, "put", lambda: self.client.put(piece), None)

    def _get(self, part: str) -> Operation:
        size = self._pieces[part].nbytes
        return Operation("bare", READ, part, "get", lambda: self.client.get(size), None)


class Asked(Method):
    """Queries, one after the other, in one operation; answers are compared elsewhere."""

    def __init__(
        self, name: str, how: str, ask: Callable[..., Any], questions: Sequence[Question]
    ) -> None:
        """Takes the function that answers a question."""
        self._given = (name, QUERY, WHOLE, how)
        self._ask, self._questions = ask, questions

    def operations(self) -> list[Operation]:
        """See ``Method``."""

        def run() -> None:
            for question in self._questions:
                self._ask(*question)

        return [Operation(*self._given, run, None)] if self._questions else []
