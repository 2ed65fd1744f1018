"""The shapes of what goes into a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.head import is_shape

Shapes = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]
"""One shape, a list of shapes, or shapes by the names of inputs."""


def input_shapes(shape: Any) -> list[tuple[int, ...]]:
    """Returns the shapes of a model's inputs.

    Args:
        shape: one shape, a list of shapes, or a mapping of names to shapes, which is taken in the
            order of its sorted names, as Keras does.

    Raises:
        SpaceError: it is none of these.
    """
    if isinstance(shape, Mapping):
        shapes: Any = [shape[name] for name in input_names(shape) or ()]
    else:
        shapes = [shape] if is_shape(shape) and shape else shape
    if not isinstance(shapes, list | tuple) or not shapes or not all(map(is_shape, shapes)):
        raise SpaceError(
            f"input shape {shape!r} must be a tuple of sizes, such as (64,), a list of those, or a "
            "mapping of names to those"
        )
    return [tuple(item) for item in shapes]


def input_names(shape: Any) -> list[str] | None:
    """Returns the sorted names of inputs, where they have names.

    Raises:
        SpaceError: a name is no text.
    """
    if not isinstance(shape, Mapping):
        return None
    if not all(isinstance(name, str) for name in shape):
        raise SpaceError(f"the names of inputs in {shape!r} must be texts")
    return sorted(shape)
