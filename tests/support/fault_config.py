"""A configuration of small executors, with the fault that FAULT in the environment names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import parsl
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_tl.block_errors import after_failed_starts
from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.task_retries import retry_when_lost

_SHORT_BLOCK = Path(__file__).parent / "short_block.sh"


class ShortBlocks(WholeBlockLauncher):
    """Blocks that end with an exit code while their workers work, as at a walltime."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def __call__(self, command: str, *sizes: Any) -> str:
        evaluated = Path(os.environ["FOLDER"]) / "evaluated"
        return super().__call__(f"bash {_SHORT_BLOCK} {evaluated} {self.code} {command}", *sizes)


class OwnDisk(WholeBlockLauncher):
    """Blocks on a node where the path of the store is on a disk of the node's own."""

    def __call__(self, command: str, *sizes: Any) -> str:
        store = Path(os.environ["FOLDER"]) / "run" / "store"
        script = f"mount -t tmpfs tmpfs {store} && exec {command}"
        return super().__call__(f"unshare --mount bash -c '{script}'", *sizes)


def executor(
    label: str, workers: int = 2, launcher: Any = None, init: str = "", **options: Any
) -> HighThroughputExecutor:
    return HighThroughputExecutor(
        label=label,
        address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=0.01,  # as many workers on any machine
        heartbeat_period=1,
        heartbeat_threshold=10,
        block_error_handler=after_failed_starts(),
        provider=LocalProvider(
            init_blocks=1,
            min_blocks=1,
            max_blocks=1,
            launcher=launcher or WholeBlockLauncher(),
            worker_init=init,
        ),
        **options,
    )


def config(max_workers: int = 2, run_dir: str = "runinfo") -> parsl.Config:
    fails = "echo no such module >&2; exit 7"
    executors = {
        "": lambda: [executor("workers", max_workers)],
        "spare-worker": lambda: [executor("workers", max_workers + 1)],
        "block-exits-0": lambda: [executor("workers", max_workers, ShortBlocks(0))],
        "block-exits-137": lambda: [executor("workers", max_workers, ShortBlocks(137))],
        "block-is-drained": lambda: [executor("workers", max_workers, drain_period=30)],
        "own-disk": lambda: [executor("workers", max_workers, OwnDisk())],
        "all-fail": lambda: [executor("workers", max_workers, init=fails)],
        "one-fails": lambda: [executor("workers", max_workers), executor("broken", init=fails)],
        "one-never-starts": lambda: [
            executor("workers", max_workers),
            executor("broken", init="sleep 1000"),
        ],
        "two": lambda: [executor("workers", max_workers), executor("other")],
    }[os.environ.get("FAULT", "")]()
    return parsl.Config(
        executors=executors,
        run_dir=run_dir,
        retry_handler=retry_when_lost,
        strategy="simple",
        strategy_period=1,
        usage_tracking=0,
    )
