"""The places of a cluster's servers: who holds each, what it left, and where its models are.

Nodes come and go, and a store has a fixed number of servers. So each server has a place, a folder
that all nodes see, and whoever runs the server holds the place. Holders are numbered: a place is
taken by making the file of the next number, which one of several that try succeeds in, on network
file systems as well, where locks may hang. Who finds a number above its own has lost the place.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import psutil

from parsl_tl.cluster.plan import write_whole


@dataclass(frozen=True)
class Holder:
    """A process that holds a place, or did.

    Attributes:
        host: that it runs on.
        pid: its process id.
        created: when the process started, since ids are used again.
        released: it gave the place back.
    """

    host: str
    pid: int
    created: float
    released: bool = False

    @classmethod
    def this_process(cls) -> Self:
        """Describes the process that calls."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def has_died(self) -> bool:
        """Whether it is of this host, and not there any more."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            is_another = abs(process.create_time() - self.created) > 1.0
            return is_another or bool(process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class PlaceState:
    """What the last holder left.

    Attributes:
        host: that it ran on.
        identity: of the store in its folder.
        generation: in which it ran.
        complete: the store was closed in order, and what is in the place is all of it.
    """

    host: str
    identity: str
    generation: str
    complete: bool


class Place:
    """The place of one server.

    Args:
        folder: of the cluster.
        number: of the server.
    """

    def __init__(self, folder: str | os.PathLike[str], number: int) -> None:
        self.number = number
        self.folder = Path(folder) / f"server.{number}"
        self._epoch = 0
        self._me: Holder | None = None

    @property
    def address_file(self) -> Path:
        """Holds the server's connection string while it runs."""
        return self.folder / "address"

    @property
    def last_address_file(self) -> Path:
        """Holds the connection string of the server that ran last, or runs."""
        return self.folder / "last_address"

    @property
    def store(self) -> Path:
        """The folder of the store, or of its copy where that is on a node's own disk."""
        return self.folder / "store"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    @property
    def error_file(self) -> Path:
        """Says why the server cannot be started."""
        return self.folder / "error"

    def holder(self) -> Holder | None:
        """Returns who holds the place, or held it last."""
        while epoch := self._newest():
            try:
                return self._read(epoch)
            except FileNotFoundError:  # the place was taken meanwhile
                continue
        return None

    def take(self, stale_seconds: float) -> bool:
        """Takes the place if it is free; returns whether it did.

        Args:
            stale_seconds: see ``ClusterPlan``.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        newest = self._newest()
        me = Holder.this_process()
        claim = self.folder / f".claim.{secrets.token_hex(4)}"
        claim.write_text(json.dumps(asdict(me)))
        try:
            # Times are those of the file system, whose clock may be another one.
            if newest and not self._is_free(newest, claim.stat().st_mtime - stale_seconds):
                return False
            os.link(claim, self._file(newest + 1))
        except (FileExistsError, FileNotFoundError):  # another process was faster
            return False
        finally:
            claim.unlink()
        self._epoch, self._me = newest + 1, me
        for epoch in self._epochs():
            if epoch < newest:
                self._file(epoch).unlink(missing_ok=True)
        return True

    def beat(self) -> bool:
        """Gives a sign of life; returns False if the place was taken by another process."""
        os.utime(self._file(self._epoch))
        return self._newest() == self._epoch

    def release(self) -> None:
        """Gives the place back, if this process still holds it."""
        self.address_file.unlink(missing_ok=True)
        if self._me is not None and self._newest() == self._epoch:
            text = json.dumps(asdict(replace(self._me, released=True)))
            write_whole(self._file(self._epoch), text)
        self._me = None

    def state(self) -> PlaceState | None:
        """Returns what the last holder left; None if there was none."""
        try:
            return PlaceState(**json.loads((self.folder / "state.json").read_bytes()))
        except FileNotFoundError:
            return None

    def leave(self, state: PlaceState) -> None:
        """Notes what this holder leaves."""
        write_whole(self.folder / "state.json", json.dumps(asdict(state)))

    def is_held(self, stale_seconds: float) -> bool:
        """Whether a process that lives holds the place.

        Args:
            stale_seconds: see ``ClusterPlan``.
        """
        newest = self._newest()
        try:
            return bool(newest) and not self._is_free(newest, time.time() - stale_seconds)
        except FileNotFoundError:  # it was taken meanwhile
            return True

    def _is_free(self, epoch: int, since: float) -> bool:
        file = self._file(epoch)
        holder = self._read(epoch)
        return holder.released or holder.has_died or file.stat().st_mtime < since

    def _file(self, epoch: int) -> Path:
        return self.folder / f"holder.{epoch}"

    def _epochs(self) -> list[int]:
        return [int(path.suffix[1:]) for path in self.folder.glob("holder.*")]

    def _newest(self) -> int:
        return max(self._epochs(), default=0)

    def _read(self, epoch: int) -> Holder:
        values: dict[str, Any] = json.loads(self._file(epoch).read_bytes())
        return Holder(**values)
