"""What every configuration has in common: an executor and a kernel that a search survives on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.block_errors import after_failed_starts
from parsl_tl.task_retries import retry_when_lost

if TYPE_CHECKING:
    import parsl
    from parsl.executors import HighThroughputExecutor


def search_executor(
    provider: Any,
    *,
    label: str,
    workers: int,
    devices: Sequence[str] = (),
    cpu_affinity: str = "none",
    address: str | None = None,
    heartbeat_period: int = 15,
    heartbeat_threshold: int = 120,
    **options: Any,
) -> HighThroughputExecutor:
    """Makes the executor that evaluations run on.

    Args:
        provider: Parsl's; says where blocks come from.
        label: name of the executor.
        workers: worker processes of a node.
        devices: the GPU of each worker, by name. Parsl numbers a mere count from 0, and these may
            be another user's.
        cpu_affinity: see ``HighThroughputExecutor``.
        address: of this machine, for the workers; Parsl tries all when None.
        heartbeat_period: seconds between signs of life.
        heartbeat_threshold: seconds without one after which the other side is given up.
        **options: further arguments of ``HighThroughputExecutor``.
    """
    from parsl.executors import HighThroughputExecutor

    return HighThroughputExecutor(
        label=label,
        provider=provider,
        address=address,
        max_workers_per_node=workers,
        available_accelerators=list(devices[:workers]),
        cpu_affinity=cpu_affinity,
        # Evaluations are long beside a message's way: none waits at a worker while another idles.
        prefetch_capacity=0,
        heartbeat_period=heartbeat_period,
        heartbeat_threshold=heartbeat_threshold,
        block_error_handler=after_failed_starts(),
        **options,
    )


def search_config(executor: Any, run_dir: str, retries: int, period: float = 5) -> parsl.Config:
    """Makes the configuration around an executor.

    Args:
        executor: see ``search_executor``.
        run_dir: where Parsl writes its logs, and the keys that workers need to connect.
        retries: how often a task is tried again when its worker is lost. Evaluations of a search
            are, without a limit of theirs.
        period: seconds after which Parsl looks whether blocks are wanted.
    """
    import parsl

    from parsl_tl.sites.task_logging import QuietTaskLogging

    return parsl.Config(
        executors=[executor],
        initialize_logging=QuietTaskLogging(),
        run_dir=run_dir,
        retries=retries,
        retry_handler=retry_when_lost,
        # A block that has ended is started anew while there are tasks.
        strategy="simple",
        strategy_period=period,
        usage_tracking=0,
    )


def thread_environment(threads: int) -> dict[str, str]:
    """Has the frameworks' thread pools match the cores that a worker has to itself."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def exports(environment: Mapping[str, str]) -> list[str]:
    """Returns the lines of a shell that set variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
