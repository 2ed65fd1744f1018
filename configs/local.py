"""This machine: one worker per GPU, or per core where there is no GPU."""

from __future__ import annotations

import os
import re
from pathlib import Path

import parsl
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_tl.block_errors import after_failed_starts
from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.task_retries import retry_when_lost


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))


def _num_gpus() -> int:
    """Counts GPUs by their device files, so that no framework has to be loaded."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([item for item in visible.split(",") if item.strip() not in ("", "-1")])
    return sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in Path("/dev").iterdir())


def config(
    max_workers: int | None = None, run_dir: str = "runinfo", retries: int = 2
) -> parsl.Config:
    """Returns the configuration.

    Args:
        max_workers: worker processes; by default one per GPU, or per core without GPUs.
        run_dir: where Parsl writes its logs.
        retries: how often a task is tried again when its worker is lost. Evaluations of a search
            are, without a limit of theirs.
    """
    cores, gpus = _num_cores(), _num_gpus()
    workers = max_workers or gpus or cores
    threads = max(1, cores // workers)
    # The frameworks' thread pools match the cores that a worker has to itself.
    environment = {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": 1,
        "TF_CPP_MIN_LOG_LEVEL": 2,
    }
    executor = HighThroughputExecutor(
        label="workers",
        address="127.0.0.1",
        max_workers_per_node=workers,
        available_accelerators=min(gpus, workers),
        # Evaluations are long beside a message's way: none waits at a worker while another idles.
        prefetch_capacity=0,
        # A lost worker is noticed, and its evaluation started anew, within seconds.
        heartbeat_period=2,
        heartbeat_threshold=30,
        block_error_handler=after_failed_starts(),
        provider=LocalProvider(
            init_blocks=1,
            min_blocks=1,
            max_blocks=1,
            launcher=WholeBlockLauncher(),
            worker_init="\n".join(f"export {key}={value}" for key, value in environment.items()),
        ),
    )
    return parsl.Config(
        executors=[executor],
        run_dir=run_dir,
        retries=retries,
        retry_handler=retry_when_lost,
        # A block that has ended is started anew while there are tasks.
        strategy="simple",
        strategy_period=2,
        usage_tracking=0,
    )
