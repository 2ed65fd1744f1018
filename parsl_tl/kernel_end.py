"""Ending a Parsl kernel in bounded time, with all that it started, in whatever state it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import InvalidStateError
from typing import TYPE_CHECKING, Any

from parsl_tl.interchange_stand_in import InterchangeStandIn

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

logger = logging.getLogger(__name__)

_DEADLINE = 8.0
# How long an interchange that lives may take to answer.
_LONGEST_ANSWER = 2.0


def end_kernel(kernel: DataFlowKernel, deadline: float = _DEADLINE) -> None:
    """Ends the executors of a kernel, and their blocks.

    Parsl waits for an interchange's answer for ever, and leaves the blocks of an executor that is
    in a bad state alone. Here, nothing is waited for that cannot come, and blocks always end.

    Args:
        kernel: any that was loaded.
        deadline: seconds for an end in order, before the processes are ended one by one.
    """
    import parsl
    from parsl.dataflow.dflow import DataFlowKernelLoader

    executors = list(kernel.executors.values())
    stand_ins = []
    for executor in executors:
        _close_in_turn(executor)
        if has_dead_interchange(executor):
            stand_ins.append(InterchangeStandIn(executor))
        if getattr(executor, "bad_state_is_set", False):
            cancel_blocks(executor)
    cleanup = threading.Thread(target=_clean_up, args=(kernel,), name="kernel-end", daemon=True)
    cleanup.start()
    cleanup.join(deadline)
    if cleanup.is_alive():
        logger.warning("Parsl did not end within %g seconds; ending its processes", deadline)
        end_processes(executors)
        stand_ins.extend(InterchangeStandIn(each) for each in executors if _has_interchange(each))
        cleanup.join(deadline / 2)
    for stand_in in stand_ins:
        stand_in.close()
    if cleanup.is_alive() and DataFlowKernelLoader._dfk is kernel:
        parsl.clear()


def _close_in_turn(executor: Any) -> None:
    """Lets Parsl close the socket of an executor's commands only when no thread waits at it.

    One that is closed meanwhile makes libzmq abort the process. Who asked an interchange that died
    before it answered waits for ever; that socket is left open.
    """
    client = getattr(executor, "command_client", None)
    turn = getattr(client, "_lock", None)
    if client is None or turn is None:
        return
    close = client.close

    def close_in_turn() -> None:
        if not turn.acquire(timeout=_LONGEST_ANSWER):
            logger.info("a thread waits for an answer from executor %s", executor.label)
            return
        try:
            close()
        finally:
            turn.release()

    client.close = close_in_turn


def _clean_up(kernel: DataFlowKernel) -> None:
    try:
        kernel.cleanup()
    except Exception as error:
        logger.warning("Parsl's end was not in order: %s: %s", type(error).__name__, error)


def end_processes(executors: Iterable[Any]) -> None:
    """Ends the interchanges and the blocks of executors, without Parsl's help."""
    for executor in executors:
        cancel_blocks(executor)
        process = getattr(executor, "interchange_proc", None)
        if process is not None:
            process.kill()


def cancel_blocks(executor: Any) -> None:
    """Ends the blocks of an executor that may still run."""
    provider = getattr(executor, "provider", None)
    if provider is None:
        return
    status = dict(executor.status_facade)
    jobs = [
        job
        for block, job in dict(executor.blocks_to_job_id).items()
        if block not in status or not status[block].terminal
    ]
    try:
        if jobs:
            provider.cancel(jobs)
    except Exception as error:  # whatever a scheduler's commands may come to
        logger.warning("blocks of executor %s may still run: %s", executor.label, error)


def has_dead_interchange(executor: Any) -> bool:
    """Returns whether an executor has lost the process that it talks to its workers through."""
    process = getattr(executor, "interchange_proc", None)
    return process is not None and process.poll() is not None


def _has_interchange(executor: Any) -> bool:
    return getattr(executor, "interchange_proc", None) is not None


def fail_executor(executor: Any, error: Exception) -> None:
    """Gives an executor up: its tasks fail, and it takes no more.

    As ``set_bad_state_and_fail_all`` of Parsl's, which stops at a task that has a result already.
    """
    from parsl.executors.errors import BadStateException

    executor._executor_exception = error
    executor._executor_bad_state.set()
    for future in list(executor.tasks.values()):
        try:
            future.set_exception(BadStateException(executor, error))
        except InvalidStateError:
            continue  # its result came in the meantime
