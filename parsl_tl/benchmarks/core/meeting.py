"""Processes that do a task at the same time: on this machine, or wherever they run.

Those of this machine are a ``Team``, which meets within microseconds, by pipes with names, as often
as it likes. Others take part in a ``StartBarrier``, which outlives its participants: who dies,
fails or comes too late is not waited for. All its times are those of one clock, that of the process
that holds it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any, Final, NamedTuple, Self

from parsl_tl.errors import BenchmarkError

# Who arrives says so in the first; the way on opens in the others by turns, so that nobody who
# comes back early takes the place of one who has not left yet.
_PIPES: Final = ("arrivals", "even", "odd")
_WAIT, _DONE, _LEAVE = "wait", "done", "leave"
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Team:
    """The processes that do a task at the same time, as one of them sees it: number ``index``."""

    index: int
    count: int
    folder: str = ""  # of the pipes, if there are several

    @functools.cached_property
    def _pipes(self) -> tuple[int, Iterator[int], list[int]]:
        own = [os.open(f"{self.folder}/{name}", os.O_RDWR) for name in _PIPES]
        return own[0], itertools.cycle(own[1:]), own

    def meet(self) -> None:
        """Returns when all are here."""
        self.agree(0)

    def agree(self, number: int) -> int:
        """Returns the number that the first process has, when all are here."""
        if self.count == 1:
            return number
        arrivals, gates, _ = self._pipes
        gate, others = next(gates), self.count - 1
        if self.index > 0:
            os.write(arrivals, b"*")
            return int.from_bytes(os.read(gate, 8), "little", signed=True)
        while others:
            others -= len(os.read(arrivals, others))
        os.write(gate, number.to_bytes(8, "little", signed=True) * (self.count - 1))
        return number

    def do(self, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Does the part of a task that is this process's."""
        try:
            return task(self, *arguments)
        finally:
            for pipe in self._pipes[2] if self.count > 1 else ():
                os.close(pipe)


@contextlib.contextmanager
def team_of(count: int) -> Iterator[list[Team]]:
    """Makes the pipes of a team, and removes them; gives what each process takes."""
    with tempfile.TemporaryDirectory(prefix="parsl_tl_team_") as folder:
        for name in _PIPES:
            os.mkfifo(f"{folder}/{name}")
        yield [Team(index, count, folder) for index in range(count)]


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
        # By the word that a participant says when it gets there.
        self._waited_for = {_WAIT: set(range(size * together)), _LEAVE: set(range(size))}
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
            for awaited in self._waited_for.values():
                awaited.clear()
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
            for awaited in self._waited_for.values():
                awaited.discard(number)
            self._changed.notify_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the measurement is over
            while True:
                participant, _ = self._socket.accept()
                # Who stays silent holds up one thread, and none of the others.
                threading.Thread(target=self._attend, args=(participant,), daemon=True).start()

    def _attend(self, participant: socket.socket) -> None:
        number = None
        with (
            contextlib.suppress(EOFError, OSError, AuthenticationError),
            _connection(participant) as connection,
        ):
            deliver_challenge(connection, self.address.key)
            number = int(connection.recv_bytes())
            while True:
                is_so = self._answer(connection.recv_bytes().decode(), number)
                connection.send_bytes(bytes([is_so]))
        if number is not None:
            self.leave(number)

    def _answer(self, word: str, number: int) -> bool:
        with self._changed:
            if word == _DONE:
                self._last_done = time.perf_counter()
                return True
            if word == _WAIT and self._started is not None:
                return not self._together
            awaited = self._waited_for[word]
            awaited.discard(number)
            self._changed.notify_all()
            # After this time those who are there go on without the others.
            are_there = self._changed.wait_for(lambda: not awaited, self.address.seconds)
            if word == _WAIT and self._started is None:
                self._started = time.perf_counter()
                self._waited_for[_LEAVE] -= awaited
                awaited.clear()
                self._changed.notify_all()
            return are_there or word == _WAIT


class Participant(contextlib.ExitStack):
    """Who takes part, under a number that counts from 0; use it in a ``with``."""

    def __init__(self, address: BarrierAddress, number: int) -> None:
        """Connects.

        Raises:
            BenchmarkError: the barrier cannot be reached: it is over, or the network does not
                let us.
        """
        super().__init__()
        self.number, self._seconds = number, address.seconds
        self._connection = self.enter_context(_reach(address))
        try:
            answer_challenge(self._connection, address.key)
            self._connection.send_bytes(str(number).encode())
        except (EOFError, OSError, AuthenticationError) as error:
            self.close()
            raise BenchmarkError(f"the start was missed: {type(error).__name__}") from error

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
        """Waits for the others to leave, too; False if some may still be at work."""
        return self._ask(_LEAVE)

    def _ask(self, word: str) -> bool:
        try:
            self._connection.send_bytes(word.encode())
            # The barrier itself has the same patience; we only outlast it.
            if self._connection.poll(self._seconds + _CONNECT_SECONDS):
                return self._connection.recv_bytes() == b"\1"
        except (EOFError, OSError) as error:
            raise BenchmarkError("the benchmark that started this task left") from error
        raise BenchmarkError(f"the other tasks were not there within {self._seconds:g} s")


def take_part(
    address: BarrierAddress, number: int, task: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """Does the part of a task that is this process's; it takes its ``Participant`` first."""
    with Participant(address, number) as participant:
        return task(participant, *arguments)


def _reach(address: BarrierAddress) -> Connection:
    problem = "no address"
    for host in address.addresses:
        try:
            return _connection(socket.create_connection((host, address.port), _CONNECT_SECONDS))
        except OSError as error:
            problem = f"{host}:{address.port}: {error.strerror or error}"
    raise BenchmarkError(f"the benchmark that started this task cannot be reached ({problem})")


def _connection(reached: socket.socket) -> Connection:
    reached.settimeout(None)
    reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(reached.detach())
