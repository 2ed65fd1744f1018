"""``assemble`` with the parameters of earlier releases, in users' spaces and by their callers.

It took ``(labels, input_shapes, units, output_activation)``, for one output that is a vector.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.head import Head

Assemble = Callable[..., Any]


def has_old_parameters(assemble: Assemble) -> bool:
    """Returns whether a space's ``assemble``, bound to it, takes the four parameters."""
    required = [
        item
        for item in inspect.signature(assemble).parameters.values()
        if item.default is item.empty
        and item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 4


def assemble_with_old_parameters(
    assemble: Assemble,
    space: str,
    labels: Sequence[str | int | float],
    inputs: list[tuple[int, ...]],
    heads: Sequence[Head],
) -> Any:
    """Calls a space's ``assemble`` with the four parameters.

    Args:
        assemble: bound to its space.
        space: its name.
        labels: one per choice.
        inputs: shapes.
        heads: of the problem.

    Raises:
        SpaceError: there is more than one output, or one that the parameters cannot tell.
    """
    head = heads[0]
    if len(heads) > 1 or len(head.shape) != 1 or head.hidden:
        raise SpaceError(
            f"assemble of space {space!r} takes (labels, input_shapes, units, output_activation), "
            f"which cannot tell the outputs {[one.shape for one in heads]} of the problem; write "
            "assemble(self, labels, inputs, heads)"
        )
    warnings.warn(
        f"assemble of space {space!r} takes (labels, input_shapes, units, output_activation), "
        "which goes in the next release; write assemble(self, labels, inputs, heads), and "
        "add_heads(builder, tensor, heads) or apply_heads(x, heads) for the output layers",
        FutureWarning,
        stacklevel=4,
    )
    return assemble(labels, inputs, head.shape[0], head.activation)


def takes_heads(assemble: Assemble) -> Assemble:
    """Lets an ``assemble`` that takes heads be called with units and their activation, too."""

    @functools.wraps(assemble)
    def call(
        self: Any,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: Any,
        *old: str,
    ) -> Any:
        if old:
            heads = [Head(shape=(heads,), activation=old[0])]
        return assemble(self, labels, inputs, heads)

    return call
