"""This machine: one worker per GPU, or several; or one per core where there is no GPU."""

from __future__ import annotations

import math
import os

import parsl
from parsl.providers import LocalProvider

from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.sites.executor import exports, search_config, search_executor, thread_environment
from parsl_tl.sites.gpus import memory_environment, own_accelerator, own_gpus, share_gpus


def config(
    max_workers: int | None = None,
    run_dir: str = "runinfo",
    retries: int = 2,
    workers_per_gpu: int | None = None,
) -> parsl.Config:
    """Returns the configuration.

    Args:
        max_workers: worker processes; by default one per GPU, or per core without GPUs. More than
            there are GPUs share them.
        run_dir: where Parsl writes its logs.
        retries: how often a task is tried again when its worker is lost. Evaluations of a search
            are, without a limit of theirs.
        workers_per_gpu: workers that share a GPU, each with its part of the memory; small networks
            leave most of a GPU idle. By default one, or as many as ``max_workers`` asks for.
    """
    cores, gpus = len(os.sched_getaffinity(0)), own_gpus()
    workers = max_workers or len(gpus) * (workers_per_gpu or 1) or cores
    each = workers_per_gpu or math.ceil(workers / max(1, len(gpus)))
    if gpus:
        workers = min(workers, each * len(gpus))
    environment = thread_environment(max(1, cores // workers))
    if gpus:
        environment |= memory_environment(each)
    if gpus and (accelerator := own_accelerator()):
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
        devices=share_gpus(gpus, each)[:workers],
        address="127.0.0.1",
        # A lost worker is noticed, and its evaluation started anew, within seconds.
        heartbeat_period=2,
        heartbeat_threshold=30,
    )
    return search_config(executor, run_dir, retries, period=2)
