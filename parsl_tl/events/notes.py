"""Lines in a run's record, by whoever knows of something that is no evaluation's end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final, Protocol

IN_RECORD: Final = {"in_record": True}
"""The ``extra`` of a logged warning that tells what the record has without it."""


class Writes(Protocol):
    """Writes a line; see ``note``."""

    def __call__(self, event: str, **facts: Any) -> None:
        """Must not raise: nobody ends for a line that is missing."""


_writer_here: ContextVar[Writes | None] = ContextVar("parsl_tl_notes", default=None)


def note(event: str, **facts: Any) -> None:
    """Writes a line in the record of the run that this context works for, if it is one.

    Args:
        event: its kind: ``lost``, ``block``, ``retired`` or ``warning``.
        **facts: as JSON.
    """
    write = _writer_here.get()
    if write is not None:
        write(event, **facts)


@contextlib.contextmanager
def noted_by(write: Writes) -> Iterator[None]:
    """Has lines written, in the context of a ``with``."""
    token = _writer_here.set(write)
    try:
        yield
    finally:
        _writer_here.reset(token)
