"""Names that command lines offer; importing them loads nothing else."""

from __future__ import annotations

from typing import Any

# What a population can be written as: Keras JSON, and tables.
FORMATS = ("json", "parquet", "arrow")
# Short names, and the size that those spaces have in DeepHyper's deepspace package.
ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "skip": ("dense-skip", {"num_layers": 10}),
    "seq": ("feed-forward", {"num_layers": 10}),
}
