"""This machine: one worker per GPU, or per core where there is no GPU."""

from __future__ import annotations

import os

import parsl
from parsl.providers import LocalProvider

from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.sites.executor import exports, search_config, search_executor, thread_environment
from parsl_tl.sites.gpus import own_accelerator, own_gpus, share_gpus


def config(
    max_workers: int | None = None,
    run_dir: str = "runinfo",
    retries: int = 2,
    workers_per_gpu: int = 1,
) -> parsl.Config:
    """Returns the configuration.

    Args:
        max_workers: worker processes; by default one per GPU, or per core without GPUs.
        run_dir: where Parsl writes its logs.
        retries: how often a task is tried again when its worker is lost. Evaluations of a search
            are, without a limit of theirs.
        workers_per_gpu: workers that share a GPU.
    """
    cores, devices = len(os.sched_getaffinity(0)), share_gpus(own_gpus(), workers_per_gpu)
    workers = max_workers or len(devices) or cores
    environment = thread_environment(max(1, cores // workers))
    if devices and (accelerator := own_accelerator()):
        environment["PARSL_TL_ACCELERATOR"] = accelerator
    executor = search_executor(
        LocalProvider(
            init_blocks=1,
            min_blocks=1,
            max_blocks=1,
            launcher=WholeBlockLauncher(),
            worker_init="\n".join(exports(environment)),
        ),
        label="workers",
        workers=workers,
        devices=devices,
        address="127.0.0.1",
        # A lost worker is noticed, and its evaluation started anew, within seconds.
        heartbeat_period=2,
        heartbeat_threshold=30,
    )
    return search_config(executor, run_dir, retries, period=2)
