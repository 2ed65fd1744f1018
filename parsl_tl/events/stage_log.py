"""The stages of what is in hand, without what records spans; see ``parsl_tl.events.stages``."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from parsl_tl.events.spans import Carried, Value, said

_UNFINISHED = "it had not ended when the record did"


@dataclass
class Staged:
    """A thing in hand.

    Attributes:
        trace: identity of its trace, 32 hex digits.
        stages: name, begin in nanoseconds since 1970, and more of each, in order.
        spans: of the whole and of its present stage, if spans are recorded.
    """

    trace: str
    stages: list[tuple[str, int, dict[str, Value]]] = field(default_factory=list)
    spans: tuple[Any, Any] = (None, None)


class StageLog:
    """The things in hand of one process, by their keys. A subclass records spans of them."""

    def __init__(self) -> None:
        self._open: dict[Hashable, Staged] = {}

    def begin(
        self, key: Hashable, name: str, stage: str, attributes: Mapping[str, Value | None]
    ) -> None:
        """See ``stages.begin``."""
        self.end(key, lost="it was begun anew")
        staged = Staged(secrets.token_hex(16), [(stage, time.time_ns(), {})])
        self._open[key] = staged
        self._began(staged, name, said(attributes))

    def go_on(
        self, key: Hashable, stage: str, lost: str | None, attributes: Mapping[str, Value | None]
    ) -> None:
        """See ``stages.go_on``; nothing for a key that is not open."""
        staged = self._open.get(key)
        if staged is None or staged.stages[-1][0] == stage:
            return
        if lost is not None:
            staged.stages[-1][2]["lost"] = lost
        staged.stages.append((stage, time.time_ns(), said(attributes)))
        self._went_on(staged, lost)

    def carried(self, key: Hashable) -> Carried | None:
        """See ``stages.carried``."""
        return None

    def annotate(self, key: Hashable, attributes: Mapping[str, Value | None]) -> None:
        """See ``stages.annotate``."""

    def so_far(self, key: Hashable) -> dict[str, Any]:
        """See ``stages.so_far``."""
        staged = self._open.get(key)
        if staged is None:
            return {}
        told = [[name, begin, *([more] if more else [])] for name, begin, more in staged.stages]
        return {"trace": staged.trace, "stages": told}

    @contextlib.contextmanager
    def last(self, key: Hashable) -> Iterator[None]:
        """See ``stages.last``."""
        try:
            yield
        finally:
            self.end(key)

    def close(self) -> None:
        """Ends what is open."""
        for key in list(self._open):
            self.end(key, lost=_UNFINISHED)

    def end(self, key: Hashable, lost: str | None = None) -> None:
        """See ``stages.end``; ``lost`` says why it came to nothing."""
        staged = self._open.pop(key, None)
        if staged is not None:
            self._ended(staged, lost)

    def _began(self, staged: Staged, name: str, attributes: Mapping[str, Value]) -> None:
        """Hears of a thing that is taken in hand."""

    def _went_on(self, staged: Staged, lost: str | None) -> None:
        """Hears that the last stage of a thing has begun."""

    def _ended(self, staged: Staged, lost: str | None) -> None:
        """Hears that a thing is not in hand any more."""
