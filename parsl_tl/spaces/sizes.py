"""The sizes in which a space comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from parsl_tl.errors import SpaceError

_Size = TypeVar("_Size")


def of_size(size: Any, sizes: Mapping[str, _Size], space: str) -> _Size:
    """Returns what a size stands for.

    Raises:
        SpaceError: there is no such size.
    """
    if size not in sizes:
        raise SpaceError(f"size={size!r} of space {space!r}: choose from {', '.join(sizes)}")
    return sizes[size]
