"""Tables and a plot of how fast populations are generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.generate import GenerateRow


def summary_table(rows: Sequence[GenerateRow]) -> list[Row]:
    """Returns the rows as people read them."""
    return [
        {
            "space": row.space,
            "way": row.way,
            "models": row.models,
            "seconds": round(row.seconds, 2),
            "models/s": round(row.models_per_second),
            "times Keras": round(row.times_keras, 1),
            "MB": round(row.megabytes, 1),
            "memory, MB": round(row.memory_mb, 1),
        }
        for row in rows
    ]


def save_rates_plot(rows: Sequence[GenerateRow], folder: Path) -> Path:
    """Draws models per second, of the largest number of models of each way."""
    spaces = list(dict.fromkeys(row.space for row in rows))
    ways = list(dict.fromkeys(row.way for row in rows))
    rates = {(row.space, row.way): row.models_per_second for row in rows}

    def draw(axes: Any) -> None:
        height = 0.8 / len(spaces)
        for index, space in enumerate(spaces):
            places = [number + index * height for number in range(len(ways))]
            bars = axes.barh(places, [rates[space, way] for way in ways], height, label=space)
            axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axes.set_yticks([number + 0.4 - height / 2 for number in range(len(ways))], ways)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_xlabel("models per second, one process")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(title="space", loc="upper right")

    return save_plot(folder / "generate.png", draw)
