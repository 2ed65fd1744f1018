"""Which assembler a space gets."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_tl.population.assembler import Assembler
from parsl_tl.population.dense_assembly import DenseAssembler
from parsl_tl.population.graph_assembly import GraphAssembler
from parsl_tl.spaces import DenseSkipSpace, FeedForwardSpace, SearchSpace, Shapes


def assembler_for(
    space: SearchSpace,
    input_shape: Shapes,
    output_shape: Sequence[int],
    output_activation: str = "linear",
) -> Assembler:
    """Returns the fastest assembler that there is for a space.

    Args:
        space: dense-skip spaces without sub-networks, and feed-forward ones, are assembled array
            by array, about a thousand times as fast as all others, whose graphs are built one by
            one.
        input_shape: without the batch dimension; a list of shapes for several inputs.
        output_shape: ``(units,)`` of the output layer.
        output_activation: ``softmax`` for classes, ``linear`` for regression.

    Raises:
        SpaceError: a shape that does not fit the space.
    """
    shapes = (input_shape, output_shape, output_activation)
    # A class derived from these may build what it likes.
    is_known = type(space) in (DenseSkipSpace, FeedForwardSpace)
    has_parts = isinstance(space, DenseSkipSpace) and space.subnetworks
    if is_known and not has_parts and isinstance(space, DenseSkipSpace | FeedForwardSpace):
        return DenseAssembler(space, *shapes)
    return GraphAssembler(space, *shapes)
