"""Spans with stages that follow each other; see ``parsl_tl.events.stages``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import StatusCode, Tracer, set_span_in_context, use_span

from parsl_tl.events.spans import Carried, Value, said
from parsl_tl.events.stage_log import Staged, StageLog


class StagedSpans(StageLog):
    """The stages of one process, with a span for each thing and for each stage."""

    def __init__(self, tracer: Tracer, carried_by: Callable[[Any], Carried | None]) -> None:
        """Has none.

        Args:
            tracer: makes spans.
            carried_by: says what travels with a task that is part of a span, by its context.
        """
        super().__init__()
        self._tracer = tracer
        self._carried_by = carried_by

    def _began(self, staged: Staged, name: str, attributes: Mapping[str, Value]) -> None:
        # No part of what happens to be done here: it ends elsewhere.
        whole = self._tracer.start_span(
            name, Context(), attributes=attributes, start_time=staged.stages[0][1]
        )
        if whole.get_span_context().is_valid:  # not with OTEL_SDK_DISABLED
            staged.trace = f"{whole.get_span_context().trace_id:032x}"
        staged.spans = (whole, self._last_stage(whole, staged))

    def _last_stage(self, whole: Any, staged: Staged) -> Any:
        name, begin, attributes = staged.stages[-1]
        context = set_span_in_context(whole, Context())
        return self._tracer.start_span(name, context, attributes=attributes, start_time=begin)

    def _went_on(self, staged: Staged, lost: str | None) -> None:
        whole, stage = staged.spans
        if lost is not None:
            stage.set_status(StatusCode.ERROR, lost)
        stage.end(staged.stages[-1][1])
        staged.spans = (whole, self._last_stage(whole, staged))

    def carried(self, key: Hashable) -> Carried | None:
        """See ``stages.carried``."""
        staged = self._open.get(key)
        return None if staged is None else self._carried_by(staged.spans[1].get_span_context())

    def annotate(self, key: Hashable, attributes: Mapping[str, Value | None]) -> None:
        """See ``stages.annotate``."""
        staged = self._open.get(key)
        if staged is not None:
            staged.spans[0].set_attributes(said(attributes))

    @contextlib.contextmanager
    def last(self, key: Hashable) -> Iterator[None]:
        """See ``stages.last``."""
        staged = self._open.get(key)
        if staged is None:
            yield
            return
        with (
            super().last(key),
            use_span(staged.spans[1], end_on_exit=False, record_exception=False),
        ):
            yield

    def _ended(self, staged: Staged, lost: str | None) -> None:
        now = time.time_ns()
        for span in reversed(staged.spans):
            if lost is not None:
                span.set_status(StatusCode.ERROR, lost)
            span.end(now)
