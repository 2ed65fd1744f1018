"""Tasks on this machine that meet within microseconds, by pipes with names, as often as they like.

What starts together on other machines too meets at a ``StartBarrier``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

# Who arrives says so in the first; the way on opens in the others by turns, so that nobody who
# comes back early takes the place of one who has not left yet.
_PIPES: Final = ("arrivals", "even", "odd")


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
