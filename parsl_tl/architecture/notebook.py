"""The layers of a graph as a notebook shows them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsl_tl.architecture.layer import Layer

_MOST_LAYERS = 200


def show_layers(title: str, layers: Sequence[Layer], names: Sequence[str]) -> str:
    """Returns a table of layers as HTML.

    Args:
        title: above it.
        layers: in topological order.
        names: stable names of the layers.
    """
    import pandas as pd

    from parsl_tl.reporting.page import table

    rows = [
        {
            "layer": number,
            "class": layer.class_name,
            "name": name,
            "inputs": ", ".join(
                str(one) for one in sorted({ref.layer for c in layer.calls for ref in c.inputs})
            ),
        }
        for number, (layer, name) in enumerate(zip(layers, names, strict=True))
    ]
    more = len(rows) - _MOST_LAYERS
    left_out = f"<p>And {more} more layers.</p>" if more > 0 else ""
    shown = table(pd.DataFrame(rows[:_MOST_LAYERS]), "Layers")
    return f"<p><strong>{html.escape(title)}</strong></p>{shown}{left_out}"
