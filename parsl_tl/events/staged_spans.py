"""Spans with stages that follow each other; see ``parsl_tl.events.stages``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import StatusCode, Tracer, set_span_in_context, use_span

from parsl_tl.events.spans import Carried, Value, said

_UNFINISHED = "it had not ended when the record did"


@dataclass
class _Staged:
    whole: Any
    stage: Any
    name: str  # of the stage


class StagedSpans:
    """The open spans of one process, by the keys of what they are about."""

    def __init__(self, tracer: Tracer, carried_by: Callable[[Any], Carried | None]) -> None:
        """Has none.

        Args:
            tracer: makes spans.
            carried_by: says what travels with a task that is part of a span, by its context.
        """
        self._tracer = tracer
        self._carried_by = carried_by
        self._open: dict[Hashable, _Staged] = {}

    def begin(
        self, key: Hashable, name: str, stage: str, attributes: Mapping[str, Value | None]
    ) -> None:
        """See ``stages.begin``."""
        self.end(key, lost="it was begun anew")
        now = time.time_ns()
        # No part of what happens to be done here: it ends elsewhere.
        whole = self._tracer.start_span(
            name, Context(), attributes=said(attributes), start_time=now
        )
        self._open[key] = _Staged(whole, self._stage(whole, stage, {}, now), stage)

    def _stage(self, whole: Any, name: str, attributes: Mapping[str, Any], now: int) -> Any:
        context = set_span_in_context(whole, Context())
        return self._tracer.start_span(name, context, attributes=attributes, start_time=now)

    def go_on(
        self,
        key: Hashable,
        stage: str,
        lost: str | None,
        attributes: Mapping[str, Value | None],
    ) -> None:
        """See ``stages.go_on``; nothing for a key that is not open."""
        staged = self._open.get(key)
        if staged is None or staged.name == stage:
            return
        now = time.time_ns()
        if lost is not None:
            staged.stage.set_status(StatusCode.ERROR, lost)
        staged.stage.end(now)
        next_stage = self._stage(staged.whole, stage, said(attributes), now)
        staged.stage, staged.name = next_stage, stage

    def carried(self, key: Hashable) -> Carried | None:
        """See ``stages.carried``."""
        staged = self._open.get(key)
        return None if staged is None else self._carried_by(staged.stage.get_span_context())

    def annotate(self, key: Hashable, attributes: Mapping[str, Value | None]) -> None:
        """See ``stages.annotate``."""
        staged = self._open.get(key)
        if staged is not None:
            staged.whole.set_attributes(said(attributes))

    @contextlib.contextmanager
    def last(self, key: Hashable) -> Iterator[None]:
        """See ``stages.last``."""
        staged = self._open.get(key)
        if staged is None:
            yield
            return
        try:
            with use_span(staged.stage, end_on_exit=False, record_exception=False):
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
        if staged is None:
            return
        now = time.time_ns()
        for span in (staged.stage, staged.whole):
            if lost is not None:
                span.set_status(StatusCode.ERROR, lost)
            span.end(now)
