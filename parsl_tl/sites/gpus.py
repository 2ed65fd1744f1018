"""GPUs by name: which this process may use, and which of a node's each worker gets."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from parsl_tl.gpu_pinning import GPU_SHARE_VARIABLE

VISIBLE_DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_DEVICES = Path("/dev")
_AMD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
# Of a GPU's memory, for all workers that share it; drivers and libraries need the rest.
_MEMORY_OF_WORKERS = 0.9


def own_gpus() -> list[str]:
    """Names the GPUs that may be used on this machine, without loading a framework.

    They are those that the user, or a scheduler on a shared node, lists in the environment:
    numbers, UUIDs or MIG devices. Where nothing is listed, the device files are counted.
    """
    for variable in VISIBLE_DEVICES:
        listed = os.environ.get(variable)
        if listed is not None:
            names = [name.strip() for name in listed.split(",")]
            if "-1" in names:  # CUDA sees what stands before it
                names = names[: names.index("-1")]
            return [name for name in names if name]
    return [str(number) for number in range(_num_nvidia_gpus() or _num_amd_gpus())]


def own_accelerator() -> str | None:
    """Returns how GPUs of this machine are pinned to workers: ``rocm``, ``cuda``, or None."""
    # Many a processor has a small GPU of AMD's beside.
    if _num_amd_gpus() and not _num_nvidia_gpus():
        return "rocm"
    return "cuda" if own_gpus() else None


def _num_nvidia_gpus() -> int:
    return sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in _DEVICES.iterdir())


def _num_amd_gpus() -> int:
    """Counts the nodes of AMD's driver that are GPUs; its other ones are processors."""
    return sum(path.read_text().strip() != "0" for path in _AMD_NODES.glob("*/gpu_id"))


def share_gpus(gpus: Sequence[str], workers_per_gpu: int) -> list[str]:
    """Returns the GPU of each worker of a node, with those that share one beside each other."""
    return [gpu for gpu in gpus for _ in range(workers_per_gpu)]


def memory_environment(workers_per_gpu: int) -> dict[str, str]:
    """Returns the variables by which workers that share a GPU share its memory, too."""
    if workers_per_gpu == 1:
        return {}
    return {GPU_SHARE_VARIABLE: f"{_MEMORY_OF_WORKERS / workers_per_gpu:.3g}"}


def affinity_list(cores: Sequence[str], workers_per_gpu: int, workers: int) -> str:
    """Returns Parsl's ``cpu_affinity`` that gives each worker cores beside its GPU.

    Args:
        cores: the cores beside each GPU, such as ``"0-7,32-39"``; those after a comma are taken
            for the second hardware threads of the first ones.
        workers_per_gpu: how many workers share them.
        workers: of the node; Parsl wants as many groups as there are workers.
    """
    groups = []
    for text in cores:
        parts = [_numbers(part) for part in text.split(",")]
        size = max(1, len(parts[0]) // workers_per_gpu)
        for number in range(workers_per_gpu):
            start = min(number * size, len(parts[0]) - size)
            groups.append(",".join(_range(part[start : start + size]) for part in parts))
    return ":".join(["list", *groups[:workers]])


def _numbers(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
