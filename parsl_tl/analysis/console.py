"""What the analysis scripts say alike on the console."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def print_files(console: Console, files: Iterable[Path]) -> None:
    """Says which files were written, in one line that can be copied."""
    text = ", ".join(str(file) for file in files)
    console.print(f"Written: {text}", markup=False, highlight=False, soft_wrap=True)
