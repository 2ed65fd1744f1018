"""Spans of what this process does; nothing, and no import of OpenTelemetry, where nobody records.

Who records is a matter of the context (``contextvars``): of the thread that searches, or of the
task that a worker runs. Threads that go on with somebody's work take his context along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

Value: TypeAlias = str | bool | int | float


class Span(Protocol):
    """What is done from the start to the end of a ``with``."""

    @property
    def context(self) -> bytes:
        """Trace (16 bytes) and span (8 bytes), as stores take them along; none if not recorded."""

    def annotate(self, **attributes: Value | None) -> None:
        """Says more of it; None says nothing."""

    def ends_at(self, time_ns: int) -> None:
        """Says when it ends, in place of when the ``with`` does."""


class Recording(Protocol):
    """What records; see ``parsl_tl.events.recorder.Recorder``."""

    stages: Any

    def span(
        self,
        name: str,
        attributes: Mapping[str, Value | None],
        *,
        parent: str | None = None,
        begin_ns: int | None = None,
    ) -> contextlib.AbstractContextManager[Span]:
        """See ``span``; ``parent`` is a ``traceparent``."""

    def annotate(self, attributes: Mapping[str, Value | None]) -> None:
        """See ``annotate``."""

    def flush(self) -> None:
        """See ``flush``."""

    def close(self) -> None:
        """Ends what is open, and writes it."""


def said(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    """Returns the attributes that say something."""
    return {name: value for name, value in attributes.items() if value is not None}


recorder_here: ContextVar[Recording | None] = ContextVar("parsl_tl_recorder", default=None)
"""Records what is done in this context; None records nothing."""

stages_here: ContextVar[Any] = ContextVar("parsl_tl_stages", default=None)
"""The ``StageLog`` of this context, which keeps the stages of what is in hand; or None."""


class _NoSpan:
    context = b""

    def annotate(self, **attributes: Value | None) -> None:
        return

    def ends_at(self, time_ns: int) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


_NO_SPAN: Final = _NoSpan()


class Carried(NamedTuple):
    """What travels with a task, so that its worker goes on with the record.

    Attributes:
        traceparent: of the span that the task is part of, as the W3C's Trace Context writes it.
        folder: of the record.
    """

    traceparent: str
    folder: str


def is_recording() -> bool:
    """Returns whether what is done here is recorded."""
    return recorder_here.get() is not None


def span(
    name: str, *, begin_ns: int | None = None, **attributes: Value | None
) -> contextlib.AbstractContextManager[Span]:
    """Records what is done in a ``with``, as part of the span around it.

    An exception that leaves it becomes its status.

    Args:
        name: of what is done.
        begin_ns: when it began, in nanoseconds since 1970; now, if it is left out.
        **attributes: more of it; None says nothing.
    """
    recorder = recorder_here.get()
    return _NO_SPAN if recorder is None else recorder.span(name, attributes, begin_ns=begin_ns)


def annotate(**attributes: Value | None) -> None:
    """Says more of the span that this is in; None says nothing."""
    recorder = recorder_here.get()
    if recorder is not None:
        recorder.annotate(attributes)


def flush() -> None:
    """Writes what has ended, if anybody records."""
    recorder = recorder_here.get()
    if recorder is not None:
        recorder.flush()


@contextlib.contextmanager
def stages_kept(stages: Any) -> Iterator[None]:
    """Keeps the stages of what is in hand in a ``with``; None keeps none."""
    token = stages_here.set(stages)
    try:
        yield
    finally:
        stages_here.reset(token)


@contextlib.contextmanager
def recorded_by(recorder: Recording | None) -> Iterator[None]:
    """Records what is done in a ``with``, and writes it at the end.

    Args:
        recorder: of this process; None records nothing.
    """
    token = recorder_here.set(recorder)
    try:
        with stages_kept(None if recorder is None else recorder.stages):
            yield
    finally:
        recorder_here.reset(token)
        if recorder is not None:
            recorder.close()
