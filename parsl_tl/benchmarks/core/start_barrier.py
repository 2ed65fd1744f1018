"""Tasks that start together, wherever they run, and the time from there until the last is done.

A barrier that outlives its participants: who dies, fails or comes too late is not waited for. All
times are those of one clock, that of the process that holds the barrier.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import NamedTuple, Self

from parsl_tl.errors import BenchmarkError

_WAIT, _DONE, _LEAVE = b"wait", b"done", b"leave"
_YES, _NO = b"yes", b"no"
_CONNECT_SECONDS = 10.0


class BarrierAddress(NamedTuple):
    """What a task needs to take part."""

    addresses: tuple[str, ...]  # of the process that holds the barrier; one of them can be reached
    port: int  # TCP port there
    key: bytes  # proves that who comes belongs here
    seconds: float  # for which a participant waits for the others


class StartBarrier:
    """The common start of one measurement; use it in a ``with``."""

    def __init__(
        self, size: int, addresses: tuple[str, ...], seconds: float, together: bool = True
    ) -> None:
        """Listens, and lets nobody start yet.

        Args:
            size: how many participants there are, numbered from 0.
            addresses: of this process.
            seconds: for which participants wait for each other.
            together: they start when all are there; else each at once, and the time counts
                from the beginning of the ``with``.
        """
        self._together = together
        self._waited_for = set(range(size)) if together else set()
        self._working = set(range(size))
        self._changed = threading.Condition()
        self._started: float | None = None
        self._last_done: float | None = None
        here = "127.0.0.1" if all(a.startswith("127.") for a in addresses) else ""
        self._socket = socket.create_server((here, 0), backlog=max(128, size))
        port = self._socket.getsockname()[1]
        self.address = BarrierAddress(addresses, port, secrets.token_bytes(32), seconds)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        if not self._together:
            self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._changed:
            self._waited_for.clear()
            self._working.clear()
            self._changed.notify_all()

    @property
    def seconds(self) -> float | None:
        """From the start to the end of the last participant that got there; None if none did."""
        with self._changed:
            if self._started is None or self._last_done is None:
                return None
            return self._last_done - self._started

    def leave(self, number: int) -> None:
        """Tells that a participant will not come any more; the others do not wait for it."""
        with self._changed:
            self._waited_for.discard(number)
            self._working.discard(number)
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                participant, _ = self._socket.accept()
            except OSError:
                return  # closed: the measurement is over
            participant.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Who stays silent holds up one thread, and none of the others.
            threading.Thread(target=self._attend, args=(participant,), daemon=True).start()

    def _attend(self, participant: socket.socket) -> None:
        number = None
        connection = Connection(participant.detach())
        with contextlib.suppress(EOFError, OSError, AuthenticationError), connection:
            deliver_challenge(connection, self.address.key)
            number = int.from_bytes(connection.recv_bytes(), "big")
            while True:
                is_so = self._answer(connection.recv_bytes(), number)
                connection.send_bytes(_YES if is_so else _NO)
        if number is not None:
            self.leave(number)

    def _answer(self, word: bytes, number: int) -> bool:
        with self._changed:
            if word == _DONE:
                self._last_done = time.perf_counter()
                return True
            if word == _WAIT and self._started is not None:
                return not self._together
            waited_for = self._waited_for if word == _WAIT else self._working
            waited_for.discard(number)
            self._changed.notify_all()
            # After this time those who are there go on without the others.
            are_there = self._changed.wait_for(lambda: not waited_for, self.address.seconds)
            if word == _LEAVE:
                return are_there
            if self._started is None:
                self._started = time.perf_counter()
                self._working -= waited_for
                waited_for.clear()
                self._changed.notify_all()
            return True


class Participant:
    """Who takes part; use it in a ``with``."""

    def __init__(self, address: BarrierAddress, number: int) -> None:
        """Connects, under a number that counts from 0.

        Raises:
            BenchmarkError: the barrier cannot be reached: it is over, or the network does not
                let us.
        """
        self._seconds = address.seconds
        self._connection = _reach(address)
        try:
            answer_challenge(self._connection, address.key)
            self._connection.send_bytes(number.to_bytes(4, "big"))
        except (EOFError, OSError, AuthenticationError) as error:
            self._connection.close()
            raise BenchmarkError(f"the start was missed: {type(error).__name__}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def wait(self) -> None:
        """Says that this participant is ready, and returns when all start.

        Raises:
            BenchmarkError: the others did not wait any longer, or the measurement ended.
        """
        if not self._ask(_WAIT):
            raise BenchmarkError("ready too late: the other tasks had started")

    def done(self) -> None:
        """Says that this participant is done; this stops its time."""
        self._ask(_DONE)

    def leave(self) -> bool:
        """Waits for the others to leave, too; tells whether they did, or may still be at work."""
        return self._ask(_LEAVE)

    def _ask(self, word: bytes) -> bool:
        try:
            self._connection.send_bytes(word)
            # The barrier itself has the same patience; we only outlast it.
            if self._connection.poll(self._seconds + _CONNECT_SECONDS):
                return self._connection.recv_bytes() == _YES
        except (EOFError, OSError) as error:
            raise BenchmarkError("the benchmark that started this task left") from error
        raise BenchmarkError(f"the other tasks were not there within {self._seconds:g} s")


def _reach(address: BarrierAddress) -> Connection:
    problem = "no address"
    for host in address.addresses:
        try:
            reached = socket.create_connection((host, address.port), _CONNECT_SECONDS)
        except OSError as error:
            problem = f"{host}:{address.port}: {error.strerror or error}"
            continue
        reached.settimeout(None)
        reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(reached.detach())
    raise BenchmarkError(f"the benchmark that started this task cannot be reached ({problem})")
