"""From architecture sequences to graphs and Keras JSON, thousands at a time, for any space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.population.flat_graphs import FlatGraphs
from parsl_tl.spaces import DenseSkipSpace, FeedForwardSpace, SearchSpace, Shapes


class Assembler(ABC):
    """Assembles architectures of one space, for inputs and outputs of fixed shapes.

    Attributes:
        class_names: Keras classes; ``FlatGraphs.class_ids`` are indices into it. It may grow with
            every call.
    """

    class_names: list[str]

    @abstractmethod
    def assemble(self, arch_seqs: NDArray[np.integer]) -> FlatGraphs:
        """Assembles architectures; keep it to some thousands, as all are in memory.

        Args:
            arch_seqs: [n, choices], every index within its choice.
        """

    @abstractmethod
    def assemble_with_json(self, arch_seqs: NDArray[np.integer]) -> tuple[FlatGraphs, bytes]:
        """As ``assemble``; also returns the Keras JSON of each, one line of ASCII per model."""


def assembler_for(
    space: SearchSpace,
    input_shape: Shapes,
    output_shape: Sequence[int],
    output_activation: str = "linear",
) -> Assembler:
    """Returns the fastest assembler that there is for a space.

    Args:
        space: dense-skip and feed-forward spaces are assembled array by array, about a thousand
            times as fast as all others, whose graphs are built one by one.
        input_shape: without the batch dimension; a list of shapes for several inputs.
        output_shape: ``(units,)`` of the output layer.
        output_activation: ``softmax`` for classes, ``linear`` for regression.

    Raises:
        SpaceError: a shape that does not fit the space.
    """
    from parsl_tl.population.dense_assembly import DenseAssembler
    from parsl_tl.population.graph_assembly import GraphAssembler

    shapes = (input_shape, output_shape, output_activation)
    # A class derived from these may build what it likes.
    is_known = type(space) in (DenseSkipSpace, FeedForwardSpace)
    if is_known and isinstance(space, DenseSkipSpace | FeedForwardSpace):
        return DenseAssembler(space, *shapes)
    return GraphAssembler(space, *shapes)
