"""A store and its answers as a notebook shows them."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from parsl_tl.errors import StoreError
from parsl_tl.reporting.sizes import show_bytes


def show_store(title: str, stats: Callable[[], Mapping[str, int]]) -> str:
    """Returns a table of what a store holds, as HTML.

    Args:
        title: what it is, and where.
        stats: gives its counts; one that is closed, or away, shows why there are none.
    """
    import pandas as pd

    from parsl_tl.reporting.page import table

    try:
        counts = stats()
    except StoreError as error:
        return _titled(title, f"<p>{html.escape(str(error))}</p>")
    rows = [
        {
            "what": name.replace("_", " "),
            "value": show_bytes(count) if name.startswith("bytes") else f"{count:,}",
        }
        for name, count in counts.items()
    ]
    return _titled(title, table(pd.DataFrame(rows), "Store"))


def show_match(title: str, layer_names: Sequence[str]) -> str:
    """Returns a match and its common layers, as HTML.

    Args:
        title: what it is.
        layer_names: of the common layers.
    """
    layers = "".join(f"<li>{html.escape(name)}</li>" for name in layer_names)
    return _titled(title, f"<details><summary>Common layers</summary><ol>{layers}</ol></details>")


def _titled(title: str, content: str) -> str:
    return f"<p><strong>{html.escape(title)}</strong></p>{content}"
