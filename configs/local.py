"""This machine: one worker per GPU, or several; or one per core where there is no GPU."""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path

import parsl
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_tl.block_errors import after_failed_starts
from parsl_tl.block_launcher import WholeBlockLauncher
from parsl_tl.task_retries import retry_when_lost

_VISIBLE_DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_DEVICES = Path("/dev")
_AMD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
# Of a GPU's memory, for all workers that share it; drivers and libraries need the rest.
_GPU_SHARE = 0.9


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))


def _gpu_names() -> list[str]:
    """Names the GPUs that may be used, without loading a framework.

    They are those that the user, or a scheduler on a shared node, lists in the environment:
    numbers, UUIDs or MIG devices. Where nothing is listed, the device files are counted.
    """
    for variable in _VISIBLE_DEVICES:
        listed = os.environ.get(variable)
        if listed is not None:
            names = [name.strip() for name in listed.split(",")]
            if "-1" in names:  # CUDA sees what stands before it
                names = names[: names.index("-1")]
            return [name for name in names if name]
    count = sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in _DEVICES.iterdir())
    return [str(number) for number in range(count or _num_amd_gpus())]


def _num_amd_gpus() -> int:
    """Counts the nodes of AMD's driver that are GPUs; its other ones are processors."""
    return sum(path.read_text().strip() != "0" for path in _AMD_NODES.glob("*/gpu_id"))


def _names_to_share(gpus: list[str], each: int) -> list[str]:
    """Names each GPU for each of the workers that share it."""
    if each > 1 and shutil.which("nvidia-smi") is not None:
        # Parsl divides a number by the workers of a GPU, as if all GPUs were listed from 0 on. This
        # is no number, and CUDA leaves out what stands behind the comma.
        gpus = [f"{name}," for name in gpus]
    return gpus * each


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
    cores, gpus = _num_cores(), _gpu_names()
    workers = max_workers or len(gpus) * (workers_per_gpu or 1) or cores
    each = workers_per_gpu or math.ceil(workers / max(1, len(gpus)))
    if gpus:
        workers = min(workers, each * len(gpus))
    threads = max(1, cores // workers)
    # The frameworks' thread pools match the cores that a worker has to itself.
    environment: dict[str, float] = {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": 1,
        "TF_CPP_MIN_LOG_LEVEL": 2,
    }
    if gpus and each > 1:
        environment["PARSL_TL_GPU_SHARE"] = round(_GPU_SHARE / each, 3)
    executor = HighThroughputExecutor(
        label="workers",
        address="127.0.0.1",
        max_workers_per_node=workers,
        # By name: Parsl numbers a mere count from 0, and these may be another user's.
        available_accelerators=_names_to_share(gpus, each)[:workers],
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
