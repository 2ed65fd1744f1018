"""What becomes of one thing that many parts of a driver have in hand, one after another.

An evaluation is proposed in one place, submitted in another, waits in a third. Its span is open
from the first to the last, and its stages follow each other without a gap: one begins where the one
before ends. Parts that know which evaluation they work for say so by ``about``; further in, it is
known from the context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator
from contextvars import ContextVar
from typing import Any

from parsl_tl.events.spans import Carried, Value, stages_here
from parsl_tl.events.stage_log import StageLog

_key_here: ContextVar[Hashable] = ContextVar("parsl_tl_stages_of", default=None)


def begin(key: Hashable, name: str, stage: str, **attributes: Value | None) -> None:
    """Begins the span of a thing with its first stage.

    Args:
        key: of the thing, for later calls. One that is open under this key was lost.
        name: of the span.
        stage: name of the first stage.
        **attributes: of the thing; None says nothing.
    """
    kept: StageLog | None = stages_here.get()
    if kept is not None:
        kept.begin(key, name, stage, attributes)


@contextlib.contextmanager
def about(key: Hashable) -> Iterator[None]:
    """Says for the calls within, in whatever thread or task of asyncio, which thing they mean."""
    token = _key_here.set(key)
    try:
        yield
    finally:
        _key_here.reset(token)


def key() -> Hashable:
    """Returns the key of the thing in hand; None for none."""
    return _key_here.get()


def go_on(stage: str, *, lost: str | None = None, **attributes: Value | None) -> None:
    """Ends the stage of the thing in hand, and begins its next one, unless it is in that already.

    Args:
        stage: name of the next one.
        lost: why the one that ends came to nothing, if it did.
        **attributes: of the next one; None says nothing.
    """
    kept: StageLog | None = stages_here.get()
    if kept is not None:
        kept.go_on(_key_here.get(), stage, lost, attributes)


def carried() -> Carried | None:
    """Returns what a task takes along that is the present stage; None where nobody records."""
    kept: StageLog | None = stages_here.get()
    return None if kept is None else kept.carried(_key_here.get())


def so_far(key: Hashable) -> dict[str, Any]:
    """Returns what is known of a thing; nothing where nobody keeps it.

    It is ``trace``, 32 hex digits, and ``stages``: name, begin in nanoseconds since 1970, and where
    there is more to say, a mapping with the ``site`` that it was given to and why it was ``lost``.
    Each stage ends where the next one begins.
    """
    kept: StageLog | None = stages_here.get()
    return {} if kept is None else kept.so_far(key)


@contextlib.contextmanager
def last(key: Hashable) -> Iterator[None]:
    """Makes what is done in a ``with`` part of the last stage of a thing, which ends with it."""
    kept: StageLog | None = stages_here.get()
    if kept is None:
        yield
        return
    with kept.last(key):
        yield


def end(key: Hashable) -> None:
    """Ends a thing, and the stage that it is in."""
    kept: StageLog | None = stages_here.get()
    if kept is not None:
        kept.end(key)


def annotate(key: Hashable, **attributes: Value | None) -> None:
    """Says more of a thing; None says nothing."""
    kept: StageLog | None = stages_here.get()
    if kept is not None:
        kept.annotate(key, attributes)
