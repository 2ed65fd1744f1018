"""A worker goes on with the record of the driver whose task it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from parsl_tl.events.spans import Carried, Span, recorder_here, span


@contextlib.contextmanager
def continued(carried: Carried | None, name: str, *, begin_ns: int | None = None) -> Iterator[Span]:
    """Records in a worker what a task does; what was recorded is written at its end.

    Args:
        carried: what came along with the task; None records nothing.
        name: of the span around all of it.
        begin_ns: when that began, in nanoseconds since 1970; now, if it is left out.
    """
    recorder = None
    if carried is not None:
        from parsl_tl.events.recorder import worker_recorder

        recorder = worker_recorder(carried.folder)
    if carried is None or recorder is None:
        with span(name, begin_ns=begin_ns) as here:
            yield here
        return
    token = recorder_here.set(recorder)
    try:
        parent = carried.traceparent
        with recorder.span(name, {}, parent=parent, begin_ns=begin_ns) as here:
            yield here
    finally:
        recorder_here.reset(token)
        recorder.flush()
