"""Search spaces by name: built in, registered by entry point, or ``module:attribute``."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.imports import import_object, is_import_name, make_object
from parsl_tl.spaces.space import SearchSpace
from parsl_tl.suggestions import did_you_mean

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
        name: a name of ``list_spaces``, or ``module:attribute`` or ``file.py:attribute`` of a
            ``SearchSpace`` class, or of a function that returns a space.
        **kwargs: its arguments, such as ``num_layers=10``.

    Raises:
        SpaceError: an unknown name, or arguments that the space does not take.
    """
    target = _known().get(name, name)
    if not is_import_name(target):
        raise SpaceError(
            f"unknown search space {name!r}{did_you_mean(name, list_spaces())}; "
            f"choose from {', '.join(list_spaces())}, or give module:attribute"
        )
    found = import_object(target, "search space", SpaceError)
    if not callable(found):
        raise SpaceError(f"{name!r} is {found!r}; it must be a SearchSpace class or make a space")
    space = make_object(found, kwargs, f"search space {name!r}", SpaceError)
    if not isinstance(space, SearchSpace):
        raise SpaceError(f"{name!r} gives a {type(space).__name__}, which is no SearchSpace")
    space.check_choices()
    return space
