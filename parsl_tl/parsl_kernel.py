"""A Parsl kernel for the time of a ``with``, that ends whatever happens."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.interchange import launch_command
from parsl_tl.kernel_end import end_kernel, end_processes
from parsl_tl.loaded_kernel import start_kernel
from parsl_tl.stop_signals import as_last_resort, deferred
from parsl_tl.worker_pool import use_watched_pool
from parsl_tl.worker_start import is_switched_off

if TYPE_CHECKING:
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel

    from parsl_tl.worker_start import WorkerStart

_SECONDS_BEFORE_NODES: Final = 0.05
_LONGEST_SECONDS_TO_ASK: Final = 2.0


@contextlib.contextmanager
def parsl_kernel(
    config: parsl.Config, worker_start: WorkerStart | None = None
) -> Iterator[DataFlowKernel]:
    """Loads a configuration, beside others in this process, and ends it whatever happens.

    Its interchanges end with this process, even if that is killed; the workers of an interchange
    that is gone end after the executor's ``heartbeat_threshold``. A terminal or a scheduler sends
    its signals to all processes that were started from it: Parsl's do not see them. This process
    does, and ends them.

    Args:
        config: whose executors were not started before.
        worker_start: what its workers load before their first task. It is written where the
            workers' certificates are, which they read, too.
    """
    for executor in config.executors:
        _bind_interchange(executor)
        use_watched_pool(executor, _written(worker_start, config))
    kernel = None
    with as_last_resort(lambda: end_processes(config.executors)):
        try:
            # A signal that comes meanwhile raises at the end of this block.
            with deferred():
                kernel = _load(config)
            _await_nodes(kernel)
            yield kernel
        finally:
            if kernel is not None:
                with deferred():
                    end_kernel(kernel)


def _load(config: parsl.Config) -> DataFlowKernel:
    # Threads and processes keep the mask of the thread that starts them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # Parsl looks whether nodes are to be asked for before it knows of any executor, and then
    # after each period only; a search would begin seconds later.
    period, config.strategy_period = config.strategy_period, _SECONDS_BEFORE_NODES
    try:
        kernel = start_kernel(config)
        kernel.job_status_poller.interval = period
        return kernel
    except BaseException:
        end_processes(config.executors)
        raise
    finally:
        config.strategy_period = period
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _await_nodes(kernel: DataFlowKernel) -> None:
    """Waits until nodes are asked for, or a moment.

    A thread of Parsl's asks. An import that comes next would hold it up, and with it the workers,
    whose start takes the longest of all.
    """
    end = time.monotonic() + _LONGEST_SECONDS_TO_ASK
    while time.monotonic() < end and any(map(_is_to_ask, kernel.executors.values())):
        time.sleep(0.01)


def _is_to_ask(executor: Any) -> bool:
    if not getattr(getattr(executor, "provider", None), "init_blocks", 0):
        return False
    return not executor.blocks_to_job_id and not executor.bad_state_is_set


def _written(start: WorkerStart | None, config: parsl.Config) -> Path | None:
    if start is None or is_switched_off():
        return None
    path = Path(config.run_dir).absolute() / "worker_start.json"
    start.write(path)
    return path


def _bind_interchange(executor: object) -> None:
    from parsl.executors.high_throughput.executor import DEFAULT_INTERCHANGE_LAUNCH_CMD

    # A command of the user's own stays.
    if getattr(executor, "interchange_launch_cmd", None) == DEFAULT_INTERCHANGE_LAUNCH_CMD:
        executor.interchange_launch_cmd = launch_command()  # type: ignore[attr-defined]
