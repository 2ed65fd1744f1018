"""Which executors of a Parsl configuration run evaluations, and how many of them at a time."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ConfigError

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

logger = logging.getLogger(__name__)


def evaluation_executors(
    kernel: DataFlowKernel, executors: str | Sequence[str] = "all"
) -> list[str]:
    """Returns the labels of the executors that run evaluations.

    Threads of this process and MPI mode are for other tasks, and run evaluations only where they
    are named.

    Args:
        kernel: the loaded kernel.
        executors: the labels to use, or ``"all"`` for every executor that is meant for it.

    Raises:
        ConfigError: a label that the configuration does not have, or no executor to run on.
    """
    labels = [label for label in kernel.executors if not label.startswith("_parsl_internal")]
    if executors == "all":
        fit = [label for label in labels if _is_for_evaluations(kernel.executors[label])]
        if not fit:
            raise ConfigError(
                f"no executor of the Parsl configuration ({', '.join(labels) or 'none'}) has "
                "worker processes for evaluations; use a HighThroughputExecutor, "
                "or name one to use it all the same: executors=..."
            )
        return fit
    named = list(dict.fromkeys([executors] if isinstance(executors, str) else executors))
    unknown = [label for label in named if label not in labels]
    if unknown or not named:
        what = ", ".join(map(repr, unknown)) or "an empty list"
        raise ConfigError(
            f"executors: {what} is no label of the Parsl configuration; "
            f"choose from {', '.join(labels) or 'none'}"
        )
    return named


def num_workers_of(kernel: DataFlowKernel, executors: str | Sequence[str] = "all") -> int:
    """Returns how many tasks the executors of a loaded configuration run at a time.

    With all blocks that their providers may start, whether they run yet or not.

    Args:
        kernel: the loaded kernel.
        executors: see ``evaluation_executors``.

    Raises:
        ConfigError: see ``evaluation_executors``.
    """
    labels = evaluation_executors(kernel, executors)
    return sum(num_workers_of_executor(kernel.executors[label]) for label in labels)


def _is_for_evaluations(executor: Any) -> bool:
    from parsl.executors import ThreadPoolExecutor

    return not isinstance(executor, ThreadPoolExecutor) and not _is_in_mpi_mode(executor)


def _is_in_mpi_mode(executor: Any) -> bool:
    return bool(getattr(executor, "enable_mpi_mode", False))


def num_workers_of_executor(executor: Any) -> int:
    """Returns how many tasks an executor runs at a time, whether it was started yet or not."""
    provider = getattr(executor, "provider", None)
    if provider is None:  # threads, or an executor that keeps the number of its workers to itself
        return int(getattr(executor, "max_threads", 1))
    # In MPI mode, a block has one pool of workers however many nodes it has.
    pools = 1 if _is_in_mpi_mode(executor) else max(1, int(provider.nodes_per_block))
    return max(1, int(provider.max_blocks)) * pools * _workers_per_node(executor)


def _workers_per_node(executor: Any) -> int:
    """As Parsl's ``process_worker_pool`` counts on the node itself."""
    if not hasattr(executor, "max_workers_per_node"):
        return max(1, int(executor.workers_per_node))
    limits = [float(executor.max_workers_per_node)]
    accelerators = len(executor.available_accelerators)
    if accelerators:
        limits.append(accelerators)
    cores, memory = _cores_of_node(executor.provider), _memory_of_node(executor.provider)
    if cores is not None:
        limits.append(math.floor(cores / executor.cores_per_worker))
    if memory is not None and executor.mem_per_worker:
        limits.append(math.floor(memory / executor.mem_per_worker))
    fewest = min(limits)
    if math.isinf(fewest):
        logger.warning(
            "executor %s: how many workers a node has cannot be known before it starts; one is "
            "assumed. Give max_workers_per_node or the provider's cores_per_node, or num_workers",
            executor.label,
        )
        return 1
    return max(1, int(fewest))


def _is_this_machine(provider: Any) -> bool:
    from parsl.providers import LocalProvider

    return isinstance(provider, LocalProvider)


def _cores_of_node(provider: Any) -> float | None:
    cores: float | None = getattr(provider, "cores_per_node", None)
    if cores is None and _is_this_machine(provider):
        return int(os.environ.get("PARSL_CORES") or os.cpu_count() or 1)
    return cores


def _memory_of_node(provider: Any) -> float | None:
    """Returns GiB."""
    memory: float | None = getattr(provider, "mem_per_node", None)
    if memory is None and _is_this_machine(provider):
        import psutil  # what Parsl itself counts with

        given = os.environ.get("PARSL_MEMORY_GB")
        return float(given) if given else float(psutil.virtual_memory().available) / 2**30
    return memory
