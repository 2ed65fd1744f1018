"""A worker goes on with the record of the driver whose task it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from parsl_tl.events.spans import Carried, recorder_here


@contextlib.contextmanager
def continued(carried: Carried | None, name: str) -> Iterator[None]:
    """Records in a worker what a task does; what was recorded is written at its end.

    Args:
        carried: what came along with the task; None records nothing.
        name: of the span around all of it.
    """
    recorder = None
    if carried is not None:
        from parsl_tl.events.recorder import worker_recorder

        recorder = worker_recorder(carried.folder)
    if carried is None or recorder is None:
        yield
        return
    token = recorder_here.set(recorder)
    try:
        with recorder.span(name, {}, parent=carried.traceparent):
            yield
    finally:
        recorder_here.reset(token)
        recorder.flush()
