"""Networks for drug response, after the Uno benchmark of CANDLE."""

from __future__ import annotations

from itertools import product

from parsl_tl.spaces.declared import Node, Nodes
from parsl_tl.spaces.operations import Dense, Dropout, Identity, Operation

_FEATURES = ("genes", "descriptors", "fingerprints")


class UnoSpace(Nodes):
    """A sub-network for each kind of features, then layers that are added to what goes into them.

    Four vectors go in: the dose, gene expressions, drug descriptors and drug fingerprints. All but
    the dose pass three variable nodes each; all are concatenated, pass one more, and then two
    cells: a variable node added to its input, with zeros where widths differ. There are 13^12
    architectures.
    """

    def __init__(self) -> None:
        """Defines the space."""
        nodes = []
        for number, feature in enumerate(_FEATURES, 1):
            source = f"input_{number}"
            for layer in range(3):
                name = f"{feature}_{layer}"
                nodes.append(Node(name, _operations(), (source,)))
                source = name
        joined = ("input_0", *(f"{feature}_2" for feature in _FEATURES))
        nodes.append(Node("joined", _operations(), joined))
        source = "joined"
        for cell in range(2):
            nodes.append(Node(f"cell_{cell}", _operations(), (source,)))
            nodes.append(Node(f"sum_{cell}", inputs=(f"cell_{cell}", source), merge="add"))
            source = f"sum_{cell}"
        super().__init__(nodes, name="uno")


def _operations() -> list[Operation]:
    widths = product((100, 500, 1000), ("relu", "tanh", "sigmoid"))
    return [
        Identity(),
        *(Dense(units, function) for units, function in widths),
        *(Dropout(rate) for rate in (0.3, 0.4, 0.5)),
    ]
