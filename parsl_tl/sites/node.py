"""A node of a machine: its cores and GPUs, and how such a one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from parsl_tl.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Node:
    """One type of node.

    Attributes:
        cores: that workers may use.
        threads_per_core: hardware threads.
        gpus: names of the GPUs, as their framework numbers them.
        accelerator: how a worker is pinned to one: by ``CUDA_VISIBLE_DEVICES``,
            ``ROCR_VISIBLE_DEVICES`` or ``ZE_AFFINITY_MASK``.
        gpu_cores: the cores beside each GPU, such as ``("0-7,32-39", ...)``, in order of the GPUs.
        memory_gb: to be asked for; None where a job gets a node's memory anyway.
        workers: per node, where not one per GPU or per core.
        constraint: Slurm's, for such nodes.
        options: what else asks for such nodes: lines of ``#SBATCH`` or ``#BSUB``, or what PBS
            selects; ``{gpus}`` stands for the GPUs of a node, ``{all_gpus}`` for those of a job.
    """

    cores: int
    threads_per_core: int = 1
    gpus: tuple[str, ...] = ()
    accelerator: Literal["cuda", "rocm", "xpu"] | None = None
    gpu_cores: tuple[str, ...] = ()
    memory_gb: int | None = None
    workers: int | None = None
    constraint: str | None = None
    options: str = ""

    def __post_init__(self) -> None:
        if self.accelerator not in (None, "cuda", "rocm", "xpu"):
            raise ConfigError(f"accelerator={self.accelerator!r} must be cuda, rocm or xpu")

    def threads_of(self, gpus: int) -> int:
        """Returns the hardware threads that belong to so many GPUs."""
        return self.cores_of(gpus) * self.threads_per_core

    def cores_of(self, gpus: int) -> int:
        """Returns the cores that belong to so many GPUs."""
        return max(1, self.cores * gpus // len(self.gpus)) if self.gpus else self.cores

    def memory_of(self, gpus: int) -> int | None:
        """Returns the GB that belong to so many GPUs."""
        if self.memory_gb is None or not self.gpus:
            return self.memory_gb
        return max(1, self.memory_gb * gpus // len(self.gpus))


def numbered(count: int) -> tuple[str, ...]:
    """Returns the names of GPUs that are numbered."""
    return tuple(map(str, range(count)))
