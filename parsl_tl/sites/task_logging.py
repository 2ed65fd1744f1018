"""Parsl's log of a search: what happens to blocks and executors, and to tasks that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from parsl.logconfigs.file import FileLogging

_OF_TASKS = "parsl.dataflow.dflow"


class QuietTaskLogging(FileLogging):  # type: ignore[misc]
    """Writes Parsl's log without a line for each step of each task.

    Those lines are two thirds of what a task costs a driver, and the campaign's own log has its
    evaluations. ``Config(initialize_logging=True)`` writes them.
    """

    def __init__(self) -> None:
        super().__init__(level=logging.INFO)

    def initialize_logging(self, *, log_dir: Path, log_name: str) -> Callable[[], None]:
        """Begins to write; see Parsl's ``LogConfig``."""
        end: Callable[[], None] = super().initialize_logging(log_dir=log_dir, log_name=log_name)
        tasks = logging.getLogger(_OF_TASKS)
        before = tasks.level
        tasks.setLevel(logging.WARNING)

        def end_all() -> None:
            tasks.setLevel(before)
            end()

        return end_all
