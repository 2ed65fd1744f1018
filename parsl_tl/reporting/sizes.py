"""Bytes and counts, as people read them."""

from __future__ import annotations


def show_bytes(num_bytes: float) -> str:
    """Returns ``1.2 MB`` for 1,234,567."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def counted(number: int, noun: str) -> str:
    """Returns ``1 model`` and ``2,000 models``.

    Args:
        number: how many.
        noun: of one; more of them end with "s" or "es".
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
