"""Parsl's pool of workers on a node, which ends when it cannot work any more.

``parsl-tl-worker-pool`` stands in for Parsl's ``process_worker_pool.py``. That one goes on telling
the interchange that it lives when nothing is left that runs its tasks: the process that its workers
share data through was killed or is stopped, a worker was killed while it held the lock of a queue,
one of its threads has failed, the interchange went away before it answered for the first time. A
search would wait for its evaluations for ever, or its processes would stay. Here the pool ends, as
if it had been killed; that costs no evaluation.

Its workers are forked from a process that has imported Parsl, and what else they will need where it
is told that; see ``worker_start``. Where it is told so, it has a server of a store beside it, and
begins nothing that its block has no time for; see ``node_store`` and ``block_end``.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
import threading
import time
from multiprocessing import context, forkserver
from pathlib import Path
from typing import Any

import psutil
import zmq

from parsl_tl.block_end import OPTION as BLOCK_SECONDS
from parsl_tl.block_end import BlockEnd, with_block_seconds
from parsl_tl.gpu_pinning import note_gpus_of_the_job
from parsl_tl.lazy_imports import import_parsl
from parsl_tl.node_store import OPTION as NODE_STORE
from parsl_tl.node_store import NodeStore
from parsl_tl.rare_collection import collect_rarely
from parsl_tl.worker_start import (
    OPTION,
    TEMPLATE_VARIABLE,
    WorkerStart,
    run_worker,
    with_worker_start,
)

logger = logging.getLogger(__name__)

SHELL_VARIABLE = "PARSL_TL_BLOCK_SHELL"
COMMAND = "parsl-tl-worker-pool"
_PARSL_MODULE = "parsl.executors.high_throughput.process_worker_pool"
_PARSL_COMMAND = "process_worker_pool.py"

_SECONDS_BETWEEN_LOOKS = 1.0
# A part that works takes what it is given within milliseconds.
_LONGEST_SILENCE = 60.0
_WORKER_NAME = "HTEX-Worker-"
_ACCELERATORS = "--available-accelerators"
_ADDRESSES = "-a"
_LOGS = "--logdir="
_THREADS = {"Interchange-Communicator", "Result-Shovel", "worker-watchdog", "Monitoring-Handler"}

_template: psutil.Process | None = None
_node_store: NodeStore | None = None


def use_watched_pool(executor: Any, worker_start: Path | None = None) -> None:
    """Has the blocks of an executor start this pool; a command of the user's own stays.

    Args:
        executor: not started yet.
        worker_start: file that tells what its workers load before their first task.
    """
    command = getattr(executor, "launch_cmd", None)
    if not isinstance(command, str):
        return
    if command.split()[0] == _PARSL_COMMAND:
        command = command.replace(_PARSL_COMMAND, COMMAND, 1)
    if command.split()[0] == COMMAND and worker_start is not None and OPTION not in command:
        command = with_worker_start(command, worker_start)
    if command.split()[0] == COMMAND:
        command = with_block_seconds(command, getattr(executor, "provider", None))
    executor.launch_cmd = command


class PoolPulse:
    """Tells whether all parts of a pool answer, by asking each of them again and again.

    Attributes:
        error: why a part cannot work any more, None as long as all can.
        beat: when all parts answered last, as ``time.monotonic`` says.
    """

    def __init__(self, pool: Any) -> None:
        """Begins to ask.

        Args:
            pool: Parsl's ``Manager`` of the pool.
        """
        self.error: Exception | None = None
        self.beat = time.monotonic()
        self._pool = pool
        threading.Thread(target=self._ask, name="pool-pulse", daemon=True).start()

    def _ask(self) -> None:
        while self.error is None:
            try:
                if self._all_answer():
                    self.beat = time.monotonic()
            except Exception as error:  # whatever a connection to a process that ended raises
                self.error = error
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _all_answer(self) -> bool:
        pool = self._pool
        # This asks the process that the workers share data through.
        num_busy = len(pool._tasks_in_progress)
        # Some are ready once they have started; one that was killed counts as ready for ever.
        has_idle_workers = num_busy < pool.worker_count and pool.ready_worker_count.value > 0
        results_pass = pool.pending_result_queue.qsize() == 0
        if results_pass:
            pool.pending_result_queue.put(None)  # whoever takes the results passes over it
        return results_pass and not (has_idle_workers and pool.pending_task_queue.qsize())


def _watch(parent: int | None, block_end: BlockEnd | None) -> None:
    """Ends this process when the pool that it runs cannot work, or has lost its block's shell."""
    pulse = None
    started: set[str] = set()
    while True:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        if _node_store is not None:
            _node_store.look()
        if parent is not None and os.getppid() != parent:
            _end("the shell of its block has ended")
        if _template is not None and not _is_alive(_template):
            # Its workers have ended with it, one of them maybe while it held the queue's lock.
            _end("the process that its workers are forked from has ended")
        pool = getattr(sys.modules["__main__"], "manager", None)
        if pool is None:  # it is still starting
            continue
        pulse = pulse or PoolPulse(pool)
        threads = {thread.name for thread in threading.enumerate()}
        started |= threads & _THREADS
        is_ending = pool._stop_event.is_set()
        if not is_ending and started - threads:
            _end(f"its thread {min(started - threads)} has ended")
        if not is_ending and pulse.error is not None:
            _end(f"a part of it has ended: {type(pulse.error).__name__}: {pulse.error}")
        if block_end is not None and not is_ending:
            block_end.look(pool)
        if time.monotonic() - pulse.beat > _LONGEST_SILENCE:
            _end(f"a part of it has not answered for {_LONGEST_SILENCE:g} seconds")


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _limit_waits() -> None:
    """Parsl waits without an end for the interchange's first answer; for others it polls."""
    from parsl import curvezmq

    make_socket = curvezmq.ClientContext.socket

    def socket(context: Any, *args: Any, **kwargs: Any) -> Any:
        made = make_socket(context, *args, **kwargs)
        made.setsockopt(zmq.RCVTIMEO, round(1000 * _LONGEST_SILENCE))
        return made

    curvezmq.ClientContext.socket = socket


class _PoolContext(context.SpawnContext):
    """Starts the processes of a pool as Parsl has it, and its workers with what they need."""

    def __init__(self, start: WorkerStart | None, has_template: bool) -> None:
        self._start = start
        self._process: Any = context.ForkServerProcess if has_template else context.SpawnProcess

    def Process(self, *given: Any, **named: Any) -> Any:  # type: ignore[override] # noqa: N802
        if named.get("name", "").startswith(_WORKER_NAME):
            named["args"] = (self._start, named["target"], *named["args"])
            named["target"] = run_worker
        return self._process(*given, **named)


def _start_workers_with(path: str | None) -> None:
    """Has the pool's workers load what they need; its template begins with that now."""
    global _template
    start = None if path is None else WorkerStart.read(path)
    # A driver that was loaded for all GPUs, and before a worker has its own, may not bear a fork.
    has_template = not _has_accelerators(sys.argv)
    if has_template:
        if start is not None:
            os.environ[TEMPLATE_VARIABLE] = str(path)
        forkserver.set_forkserver_preload(["parsl_tl.worker_template"])
        forkserver.ensure_running()
        server: Any = forkserver._forkserver  # whose attributes have no types
        _template = psutil.Process(server._forkserver_pid)
    import_parsl()
    from parsl import multiprocessing

    multiprocessing.SpawnContext = _PoolContext(start, has_template)


def _has_accelerators(argv: list[str]) -> bool:
    after = argv[argv.index(_ACCELERATORS) + 1 :] if _ACCELERATORS in argv else []
    return bool(after) and not after[0].startswith("--")


def _take_option(argv: list[str], option: str = OPTION) -> str | None:
    """Removes an option that Parsl's pool does not have; returns its value."""
    if option not in argv:
        return None
    place = argv.index(option)
    _, value = argv[place : place + 2]
    del argv[place : place + 2]
    return value


def _block_end(seconds: str | None) -> BlockEnd | None:
    folder = next((each for each in sys.argv if each.startswith(_LOGS)), None)
    if seconds is None or folder is None:
        return None
    began = psutil.Process().create_time()
    return BlockEnd(float(seconds), Path(folder.removeprefix(_LOGS)), began)


def _end(why: str) -> None:
    print(f"this pool of workers ends: {why}", file=sys.stderr, flush=True)
    # The store's server sees that this process has ended, and closes its store.
    spared = _node_store.pids() if _node_store is not None else set()
    for child in psutil.Process().children(recursive=True):
        if child.pid in spared:
            continue
        try:
            child.kill()
        except psutil.NoSuchProcess:
            logger.debug("process %d has ended already", child.pid)
    os._exit(1)


def main() -> None:
    """Runs the pool, with the arguments of Parsl's ``process_worker_pool.py``.

    ``--worker-start FILE`` tells what its workers will need, ``--node-store PLAN`` that there is a
    server of a store beside it, ``--block-seconds N`` how long its block runs.
    """
    global _node_store
    path, plan = _take_option(sys.argv), _take_option(sys.argv, NODE_STORE)
    block_end = _block_end(_take_option(sys.argv, BLOCK_SECONDS))
    collect_rarely()
    _start_workers_with(path)
    shell = os.environ.get(SHELL_VARIABLE)
    parent = os.getppid() if shell == str(os.getppid()) else None
    threading.Thread(
        target=_watch, args=(parent, block_end), name="pool-watch", daemon=True
    ).start()
    _limit_waits()
    note_gpus_of_the_job()
    if plan is not None:
        _node_store = NodeStore(plan, sys.argv[sys.argv.index(_ADDRESSES) + 1])
    try:
        # Its workers start by the name of the main module, and import from it.
        runpy.run_module(_PARSL_MODULE, run_name="__main__", alter_sys=True)
    finally:
        if _node_store is not None:
            _node_store.end()


if __name__ == "__main__":
    main()
