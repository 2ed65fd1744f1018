"""A configuration of blocks that a scheduler kills at their walltime, which is some seconds."""

from __future__ import annotations

from typing import Any

import parsl
from parsl.providers import LocalProvider

from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.sites.executor import search_config, search_executor


class Killed(WholeBlockLauncher):
    """A block that ends at its walltime, whatever it does."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds

    def __call__(self, command: str, *sizes: Any) -> str:
        return super().__call__(f"timeout --foreground -s KILL {self.seconds} {command}", *sizes)


class TimedProvider(LocalProvider):
    """As a scheduler's, it knows the walltime."""

    status_polling_interval = 1

    def __init__(self, seconds: int) -> None:
        super().__init__(init_blocks=1, min_blocks=0, max_blocks=1, launcher=Killed(seconds))
        self.seconds = seconds
        self.walltime = f"00:{seconds // 60:02}:{seconds % 60:02}"


def config(seconds: int, run_dir: str = "runinfo", max_workers: int = 2) -> parsl.Config:
    """Blocks of one node, one at a time."""
    executor = search_executor(
        TimedProvider(seconds),
        label="blocks",
        workers=max_workers,
        address="127.0.0.1",
        heartbeat_period=1,
        heartbeat_threshold=15,
        cores_per_worker=0.01,
    )
    return search_config(executor, run_dir, retries=0, period=1)
