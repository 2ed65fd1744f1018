"""Configurations of several nodes on this machine: each block is a pool of workers of its own."""

from __future__ import annotations

from pathlib import Path

import parsl
from parsl.providers import LocalProvider

from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.sites.executor import search_config, search_executor


def config(
    run_dir: str = "runinfo", nodes: int = 2, max_workers: int = 1, started: int = 1
) -> parsl.Config:
    """Blocks of one node each, of which some start with the configuration."""
    provider = LocalProvider(
        init_blocks=started,
        min_blocks=0,
        max_blocks=nodes,
        launcher=WholeBlockLauncher(),
        worker_init=f"export PYTHONPATH={Path(__file__).parent}:$PYTHONPATH",
    )
    executor = search_executor(
        provider,
        label="nodes",
        workers=max_workers,
        address="127.0.0.1",
        heartbeat_period=1,
        heartbeat_threshold=15,
        cores_per_worker=0.01,  # as many workers on any machine
    )
    return search_config(executor, run_dir, retries=3, period=1)
