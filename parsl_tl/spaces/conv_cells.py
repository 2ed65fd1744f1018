"""Networks for images that are made of convolutional cells."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.declared import Node, Nodes, Skip
from parsl_tl.spaces.head import Head
from parsl_tl.spaces.image_heads import add_image_heads
from parsl_tl.spaces.operations import (
    Activation,
    AveragePooling,
    BatchNormalization,
    Chain,
    Conv,
    Identity,
    MaxPooling,
    Operation,
)


class ConvCellsSpace(Nodes):
    """Cells of two branches that are added, a skip connection around them, and a pool behind.

    Each branch is a convolution with normalization (of kernel 1, 3 or 5), a pool, or nothing. The
    network ends in the mean of each channel, but for heads that are images themselves, which see
    every place.
    """

    def __init__(self, num_cells: int = 3, filters: int = 16, pools: bool = True) -> None:
        """Defines the space.

        Args:
            num_cells: one behind the other.
            filters: of all convolutions.
            pools: whether a pool may halve the image behind each cell. Where the output is an
                image of the input's size (a mask), it may not.

        Raises:
            SpaceError: a number that is not positive.
        """
        for name, value in (("num_cells", num_cells), ("filters", filters)):
            if not isinstance(value, int) or value < 1:
                raise SpaceError(f"{name}={value!r} of space 'conv-cells' must be at least 1")
        nodes: list[Node | Skip] = [Node("stem", [_convolution(filters, 3)])]
        source = "stem"
        for cell in range(num_cells):
            left, right = f"cell_{cell}_left", f"cell_{cell}_right"
            nodes += [
                Node(left, _branches(filters), (source,)),
                Node(right, _branches(filters), (source,)),
                Node(f"cell_{cell}", inputs=(left, right), merge="add"),
                Skip(f"skip_{cell}", (source,)),
            ]
            source = f"skip_{cell}"
            if pools:
                source = f"pool_{cell}"
                nodes.append(Node(source, [Identity(), MaxPooling(2), AveragePooling(2)]))
        super().__init__(nodes, name="conv-cells")

    def add_outputs(
        self, builder: GraphBuilder, tensors: Sequence[Tensor], heads: Sequence[Head]
    ) -> list[Tensor]:
        """Adds the heads, those that are vectors on the mean of each channel."""
        return add_image_heads(builder, tensors[0], heads)


def _branches(filters: int) -> list[Operation]:
    return [
        Identity(),
        *(_convolution(filters, kernel) for kernel in (1, 3, 5)),
        MaxPooling(3, strides=1, padding="same"),
        AveragePooling(3, strides=1, padding="same"),
    ]


def _convolution(filters: int, kernel: int) -> Operation:
    convolution = Conv(filters, kernel, padding="same", use_bias=False)
    return Chain((convolution, BatchNormalization(), Activation("relu")))
