"""What workers load before their first task, and what they load once for all of a node.

Importing a framework takes a worker longer than many an evaluation, and all workers of a node do it
at the same time. So a pool that is told what its workers will need starts a process that imports
it, the template, while it starts itself; its workers are forked from the template, and begin with
all that it has imported. A template only imports: threads do not survive a fork, so that one in
which some run takes back what it did. What needs threads, or the worker's own cores and GPU, is
done in the worker, beside its first task if that comes at once.

Nothing of it has to succeed. A task that lacks something loads it then, and tells what is wrong.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import logging
import os
import shlex
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from parsl_tl.parent_death import end_with_parent

logger = logging.getLogger(__name__)

OPTION: Final = "--worker-start"
TEMPLATE_VARIABLE: Final = "PARSL_TL_TEMPLATE"
"""Names the file to a template; without it, one imports Parsl's pool alone."""

_SWITCH: Final = "PARSL_TL_WORKER_START"
# Arrow's allocator has it, and starts it anew after a fork.
_THREADS_THAT_MAY_RUN: Final = {"jemalloc_bg_thd"}

_template_pid: int | None = None


@dataclass(frozen=True)
class WorkerStart:
    """What the workers of a pool do before their first task.

    Attributes:
        template: ``module:function``, called once a node, which imports what workers need.
        worker: ``module:function``, called in a thread of each worker, when the worker has been
            given its cores and GPU.
        arguments: keyword arguments of both; JSON-able.
    """

    template: str
    worker: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Writes it to a file for its user alone: addresses of stores may be in it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file)
        partial.replace(path)

    @classmethod
    def read(cls, path: str | Path) -> WorkerStart | None:
        """Reads what ``write`` wrote; None where that cannot be done."""
        try:
            return cls(**json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            logger.warning("workers load nothing before their first task: %s", error)
            return None


def is_switched_off() -> bool:
    """Returns whether the user has workers load what they need with their first task."""
    return os.environ.get(_SWITCH, "").lower() in ("off", "0", "no", "false")


def with_worker_start(command: str, path: Path) -> str:
    """Returns a launch command of ``parsl-tl-worker-pool`` that names the file to it.

    Args:
        command: as Parsl's executors have it.
        path: what ``WorkerStart.write`` wrote.
    """
    return with_pool_option(command, OPTION, str(path))


def with_pool_option(command: str, option: str, value: str) -> str:
    """Returns a launch command of ``parsl-tl-worker-pool`` with one more of its own options.

    Args:
        command: as Parsl's executors have it.
        option: that Parsl's pool does not have.
        value: of the option.
    """
    program, _, rest = command.partition(" ")
    return f"{program} {option} {shlex.quote(value)} {rest}"


def fill_template() -> None:
    """Imports in a template what its workers need; in every other process, does nothing."""
    global _template_pid
    _template_pid = os.getpid()
    start = WorkerStart.read(path) if (path := os.environ.pop(TEMPLATE_VARIABLE, "")) else None
    gc.disable()
    importlib.import_module("parsl.executors.high_throughput.process_worker_pool")
    if start is not None:
        _import_for(start)
    gc.enable()
    gc.collect()
    gc.freeze()  # so that the workers' collectors leave the pages alone that they share


def _import_for(start: WorkerStart) -> None:
    threads = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else numpy starts some as it is imported
    _attempt(start.template, start.arguments)
    if threads is None:
        del os.environ["OPENBLAS_NUM_THREADS"]
    else:
        os.environ["OPENBLAS_NUM_THREADS"] = threads
    if running := _other_threads():
        logger.warning("workers import what they need by themselves: threads run (%s)", running)
        os.execv(sys.executable, sys.orig_argv)  # the same process without all that


def run_worker(start: WorkerStart | None, worker: Callable[..., None], *arguments: Any) -> None:
    """Runs Parsl's worker, which loads what its tasks will need.

    Args:
        start: what it loads; None for nothing.
        worker: of Parsl's pool.
        *arguments: of ``worker``.
    """
    if _template_pid is not None:
        end_with_parent(_template_pid)
        if "numpy" in sys.modules:  # all forks would draw the same numbers
            sys.modules["numpy"].random.seed()
    given = inspect.signature(worker).bind(*arguments)
    if start is not None:
        given.arguments["task_queue"] = _Tasks(given.arguments["task_queue"], start)
    worker(*given.args, **given.kwargs)


class _Tasks:
    """A worker's queue of tasks: who asks it first has its cores and its GPU."""

    def __init__(self, queue: Any, start: WorkerStart) -> None:
        self._queue = queue
        self._start: WorkerStart | None = start

    def get(self, *args: Any, **kwargs: Any) -> Any:
        start, self._start = self._start, None
        if start is not None:
            threading.Thread(
                target=_attempt,
                args=(start.worker, start.arguments),
                name="worker-start",
                daemon=True,
            ).start()
        return self._queue.get(*args, **kwargs)


def _attempt(function: str, arguments: Mapping[str, Any]) -> None:
    module, _, name = function.partition(":")
    try:
        getattr(importlib.import_module(module), name)(**arguments)
    except Exception:  # the first task that needs it meets the same, and tells of it
        logger.warning("not everything was loaded before the first task", exc_info=True)


def _other_threads() -> str:
    """Returns the names of threads that a fork would lose, in a line."""
    own = str(threading.get_native_id())
    names = [
        (thread / "comm").read_text().strip()
        for thread in Path("/proc/self/task").iterdir()
        if thread.name != own
    ]
    return ", ".join(name for name in names if name not in _THREADS_THAT_MAY_RUN)
