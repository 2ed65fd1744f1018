"""A process for a task that may die, hang or fill up without harm to who started it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from parsl_tl.errors import BenchmarkError
from parsl_tl.lazy_imports import load_lazily
from parsl_tl.parent_death import end_with_parent
from parsl_tl.rare_collection import collect_rarely

_PROGRAM = (sys.executable, "-m", "parsl_tl.task_process")
_DONE, _FAILED = "done", "failed"
_END_SECONDS = 5.0
_LONGEST_REASON = 400
_LONGEST_CLEAR = 150


class TaskProcess:
    """A fresh Python that takes one task after the other; use it in a ``with``.

    It is started by the first task, and anew after it died. What it prints goes nowhere, except
    for the last line of one that died: that becomes part of the reason.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Nothing is started yet.

        Args:
            environment: variables beside those of this process.
        """
        self._environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
        self._environment |= {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._log: Any = None
        self._lock = threading.Lock()
        self._killed = False

    def __enter__(self) -> TaskProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process's id, or None when there is none."""
        return None if self._process is None else self._process.pid

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> Any:
        """Calls a function of a module in the process, and returns what it gives.

        Args:
            function: at the top level of a module that the process can import.
            arguments: of the call; they are pickled, as is the result.
            seconds: how long it may take, the start of the process included.

        Raises:
            BenchmarkError: the function raised, the process died, or it took too long.
        """
        pipe = self._pipe or self._start()
        try:
            pipe.send((function, arguments))
            if not pipe.poll(seconds):
                self.close()
                raise BenchmarkError(f"no answer within {seconds:g} s; the process was ended")
            kind, value = pipe.recv()
        except (EOFError, OSError):
            raise BenchmarkError(self._death()) from None
        if kind == _FAILED:
            raise BenchmarkError(value)
        return value

    def _start(self) -> Connection:
        with self._lock:
            if self._killed:
                raise BenchmarkError("who started the task ended before it began")
            return self._start_now()

    def _start_now(self) -> Connection:
        ours, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        with theirs:
            self._process = subprocess.Popen(
                [*_PROGRAM, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )
        self._pipe = Connection(ours.detach())
        return self._pipe

    def _death(self) -> str:
        """Ends what is left of the process, and says how it died."""
        code, lines = None, []
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_END_SECONDS)
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
        self.close()
        how = f"the process was killed by {signal.Signals(-code).name}" if code and code < 0 else ""
        how = how or f"the process ended with exit code {code}"
        if code == -signal.SIGKILL:
            how += " (if memory ran out: fewer processes, or a smaller model)"
        return shorten(f"{how}: {lines[-1]}" if lines else how)

    def kill(self) -> None:
        """Ends the process for good, while another thread may start it or wait for its answer."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def close(self, seconds: float = 0.0) -> None:
        """Ends the process, which may take some seconds to leave by itself.

        A later task starts another.
        """
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self._process.kill()
            self._process.wait()
        if self._log is not None:
            self._log.close()
        self._process, self._pipe, self._log = None, None, None


def shorten(reason: str) -> str:
    """Returns a reason in one line that fits into a table's cell."""
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 4]} ..."


def reason_of(error: BaseException) -> str:
    """Returns why something failed, in one line: the kind of error, and what it says."""
    if isinstance(error, BenchmarkError):  # ours: it says all there is
        return shorten(str(error))
    if isinstance(error, OSError) and error.errno and len(str(error)) > _LONGEST_CLEAR:
        # HDF5 buries it among the addresses of its buffers.
        return shorten(f"{type(error).__name__}: {os.strerror(error.errno)} ({error})")
    return shorten(f"{type(error).__name__}: {error}")


_own = threading.local()


def run_in_own_process(
    function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float, fresh: bool = False
) -> Any:
    """Calls a function in a process that belongs to this thread; see ``TaskProcess.run``.

    Args:
        function: see there.
        arguments: see there.
        seconds: see there.
        fresh: in a new process, so that nothing is loaded yet; else the one of earlier tasks.
    """
    if not hasattr(_own, "process"):
        _own.process = TaskProcess()
    if fresh:
        _own.process.close()
    return _own.process.run(function, arguments, seconds)


def _serve(descriptor: int, parent: int) -> None:
    """What the process does: answers tasks until nobody is there who asks."""
    # Ctrl-C reaches the whole group; who started us decides what becomes of the task.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    pipe = Connection(descriptor)
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        except Exception as error:  # a task that cannot be unpickled here
            pipe.send((_FAILED, reason_of(error)))
            continue
        try:
            reply = (_DONE, function(*arguments))
            pickle.dumps(reply)
        except Exception as error:
            reply = (_FAILED, reason_of(error))
        try:
            pipe.send(reply)
        except OSError:
            return


if __name__ == "__main__":
    load_lazily()
    collect_rarely()
    _serve(int(sys.argv[1]), int(sys.argv[2]))
