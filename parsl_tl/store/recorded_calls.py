"""Spans of a store's calls, where somebody records them; servers take part in these spans."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from parsl_tl.events import is_recording, span
from parsl_tl.native import native
from parsl_tl.store.model_id import format_model_id

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate[S, P], R]


def recorded(name: str) -> Callable[[Method[S, P, R]], Method[S, P, R]]:
    """Has a method of a store's recorded, with what it asks servers as part of its span.

    Args:
        name: of the span. Where the method's first argument is an integer, it is the model's id.
    """

    def decorate(method: Method[S, P, R]) -> Method[S, P, R]:
        @functools.wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if not is_recording():
                return method(self, *args, **kwargs)
            first = args[0] if args else None
            model_id = format_model_id(first) if isinstance(first, int) else None
            with span(name, model_id=model_id) as here:
                before = native.exchange_trace(here.context)
                try:
                    return method(self, *args, **kwargs)
                finally:
                    native.exchange_trace(before)

        return call

    return decorate
