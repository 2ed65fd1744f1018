"""Networks for gene expressions, after the NT3 benchmark of CANDLE: a tumor, or none."""

from __future__ import annotations

from itertools import product

from parsl_tl.spaces.declared import Node, Nodes
from parsl_tl.spaces.operations import (
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Identity,
    MaxPooling,
    Operation,
)
from parsl_tl.spaces.sizes import of_size

_FUNCTIONS = ("relu", "tanh")
_UNITS = {"small": (32, 97, 16), "large": (100, 150, 200)}


class NT3Space(Nodes):
    """Convolutions and pools along the genes, then two dense layers with dropout.

    The small space has one pair of convolution and pool (624,000 architectures), the large one two
    (13,608,000). Data of the shape (genes, 1) go in. In the small space, pools may be larger than
    what goes into them if there are few genes: such architectures are impossible.
    """

    def __init__(self, size: str = "small") -> None:
        """Defines the space.

        Args:
            size: ``small`` or ``large``.

        Raises:
            SpaceError: another size.
        """
        units = of_size(size, _UNITS, "nt3")
        nodes: list[Node] = []
        for number, (convolutions, pools) in enumerate(_small() if size == "small" else _large()):
            nodes += [Node(f"conv_{number}", convolutions), Node(f"pool_{number}", pools)]
        nodes.append(Node("flatten", [Flatten()]))
        for number, widths in enumerate([units, (16, 20, 24, 28, 32)]):
            nodes += [
                Node(f"dense_{number}", [Dense(width) for width in widths]),
                Node(f"activation_{number}", [Activation(function) for function in _FUNCTIONS]),
                Node(f"dropout_{number}", _dropouts()),
            ]
        super().__init__(nodes, name="nt3")


def _small() -> list[tuple[list[Operation], list[Operation]]]:
    convolutions: list[Operation] = [
        Conv(filters, kernel, function)
        for kernel, filters, function in product(range(3, 7), (4, 8), _FUNCTIONS)
    ]
    pools = [MaxPooling(pool, strides) for pool, strides in product(range(2, 7), range(2, 7))]
    return [(convolutions, [Identity(), *pools])]


def _large() -> list[tuple[list[Operation], list[Operation]]]:
    convolutions: list[Operation] = [
        Conv(filters, kernel, function, padding="same")
        for kernel, filters, function in product((15, 20, 25), (48, 56, 60), _FUNCTIONS)
    ]
    return [
        (
            convolutions,
            [
                Identity(),
                *(
                    MaxPooling(pool, strides, padding="same")
                    for pool, strides in product(pools, (4, 5, 6))
                ),
            ],
        )
        for pools in ((3,), (3, 4))
    ]


def _dropouts() -> list[Operation]:
    return [Identity(), *(Dropout(rate) for rate in (0.5, 0.4, 0.3, 0.2))]
