"""Search spaces by name: built in, registered by entry point, or ``module:attribute``."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.space import SearchSpace

ENTRY_POINT_GROUP = "parsl_tl.spaces"
_BUILT_IN = {
    "dense-skip": "parsl_tl.spaces.dense_skip:DenseSkipSpace",
    "feed-forward": "parsl_tl.spaces.feed_forward:FeedForwardSpace",
}


def _known() -> dict[str, str]:
    registered = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**registered, **_BUILT_IN}


def list_spaces() -> list[str]:
    """Returns the names that ``get_space`` knows."""
    return sorted(_known())


def get_space(name: str, **kwargs: Any) -> SearchSpace:
    """Makes a search space.

    Args:
        name: a name of ``list_spaces``, or ``module:attribute`` of a ``SearchSpace`` class, or of
            a function that returns a space.
        **kwargs: its arguments, such as ``num_layers=10``.

    Raises:
        SpaceError: an unknown name, or arguments that the space does not take.
    """
    target = _known().get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        raise SpaceError(
            f"unknown search space {name!r}; choose from {', '.join(list_spaces())}, "
            "or give module:attribute"
        )
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SpaceError(f"search space {name!r} cannot be imported: {error}") from error
    try:
        space = factory(**kwargs)
    except TypeError as error:
        raise SpaceError(f"search space {name!r} cannot be made with {kwargs}: {error}") from error
    if not isinstance(space, SearchSpace):
        raise SpaceError(f"{name!r} gives a {type(space).__name__}, which is no SearchSpace")
    return space
