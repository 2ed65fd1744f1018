"""Networks for small images, in the manner of LeNet."""

from __future__ import annotations

from itertools import product

from parsl_tl.spaces.declared import Node, Nodes
from parsl_tl.spaces.operations import (
    AveragePooling,
    Conv,
    Dense,
    Flatten,
    Identity,
    MaxPooling,
    Operation,
)


class LeNetSpace(Nodes):
    """Two convolutions with pools, then two dense layers; LeNet-5 itself is one of 518,400.

    Images of the shape (height, width, channels) go in. On small ones, kernels and pools may be
    larger than what goes into them: such architectures are impossible.
    """

    def __init__(self) -> None:
        """Defines the space."""
        pools: list[Operation] = [Identity(), MaxPooling(2), AveragePooling(2)]
        super().__init__(
            [
                Node("conv_0", _convolutions(6, 12, 24)),
                Node("pool_0", pools),
                Node("conv_1", _convolutions(16, 32, 64)),
                Node("pool_1", pools),
                Node("flatten", [Flatten()]),
                Node("dense_0", _dense(60, 120, 240)),
                Node("dense_1", _dense(42, 84, 168)),
            ],
            name="lenet",
        )


def _convolutions(*filters: int) -> list[Operation]:
    return [
        Conv(count, kernel, function, padding=padding)
        for count, kernel, function, padding in product(
            filters, (3, 5), ("relu", "tanh"), ("valid", "same")
        )
    ]


def _dense(*units: int) -> list[Operation]:
    widths = product(units, ("relu", "tanh", "sigmoid"))
    return [Identity(), *(Dense(width, function) for width, function in widths)]
