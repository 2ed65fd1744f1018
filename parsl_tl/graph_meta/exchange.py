"""Requests between ranks, over non-blocking messages: who waits for a reply serves meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl import errors
from parsl_tl.errors import GraphMetaError, InvalidValueError, ParslTLError
from parsl_tl.graph_meta.messages import (
    Kind,
    Message,
    Sections,
    Words,
    decode,
    encode,
    text_of,
    text_section,
)
from parsl_tl.mpi import load_mpi

Handler = Callable[[Sections], tuple[Kind, Sequence[NDArray[Any]]]]
Ticket = tuple[int, int]
"""The rank that was asked, and the number of the request."""

_REQUEST: Final = 1
_REPLY: Final = 2
_FAILURE: Final = 3
# A rank without work yields its core at first, and then naps: replies come soon, if they come.
# Where ranks share cores, yielding for long takes time from those that work.
_YIELDS: Final = 2000
_YIELDS_ON_SHARED_CORES: Final = 100
_NAP: Final = 1e-5
# From then on nobody is in a hurry, and the cores go to others.
_MANY_NAPS: Final = 2000
_LONG_NAP: Final = 5e-4


class Exchange:
    """Sends requests to ranks, and answers those of others by handlers.

    All ranks make one, at the same time, over communicators with the same members. It may be used
    by one thread.

    Attributes:
        rank: of this process.
        size: number of ranks.
    """

    def __init__(self, comm: Any = None) -> None:
        """Copies the communicator, so that nobody else's messages get in between.

        Args:
            comm: an mpi4py intracommunicator; all processes of the program if None.

        Raises:
            GraphMetaError: mpi4py is not installed.
        """
        self._mpi = load_mpi(GraphMetaError)
        self._comm = (comm if comm is not None else self._mpi.COMM_WORLD).Dup()
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self._yields = _YIELDS_ON_SHARED_CORES if self._shares_cores() else _YIELDS
        self._handlers: dict[Kind, Handler] = {}
        self._status = self._mpi.Status()
        self._receiving: list[tuple[Any, int, int, Words]] = []
        # Buffers have to stay until they are sent.
        self._sending: list[tuple[Any, Words]] = []
        self._replies: dict[Ticket, Message] = {}
        self._number = 0
        self._closed = False

    def serve_kind(self, kind: Kind, handler: Handler) -> None:
        """Names who answers the requests of a kind: sections in, kind and sections out."""
        self._handlers[kind] = handler

    def ask(self, rank: int, kind: Kind, sections: Sequence[NDArray[Any]] = ()) -> Ticket:
        """Sends a request to one rank; see ``ask_all``."""
        return self.ask_all(kind, sections, [rank])[0]

    def ask_all(
        self, kind: Kind, sections: Sequence[NDArray[Any]], ranks: Sequence[int]
    ) -> list[Ticket]:
        """Sends one request to several ranks, and returns what ``reply`` takes; nothing waits here.

        A request to this rank itself is answered at once, while the others are on their way.
        """
        self._check_open()
        number = self._number
        self._number += 1
        words = encode(kind, number, sections)
        for rank in ranks:
            if rank != self.rank:
                self._send(rank, _REQUEST, words)
        if self.rank in ranks:
            self._replies[self.rank, number] = self._answer(decode(words))
        return [(rank, number) for rank in ranks]

    def reply(self, ticket: Ticket) -> Sections:
        """Waits for the reply to a request, and serves others meanwhile.

        Raises:
            ParslTLError: what the other rank raised while it answered.
            GraphMetaError: a rank failed.
        """
        self._wait(lambda: ticket in self._replies)
        message = self._replies.pop(ticket)
        if message.kind == Kind.REFUSED:
            raise _refusal(text_of(message.sections[0]))
        return message.sections

    def progress(self) -> bool:
        """Takes in what has arrived and answers requests; returns whether there was anything.

        Raises:
            GraphMetaError: a rank failed, or sent what is no message.
        """
        self._check_open()
        while True:
            message = self._comm.Improbe(status=self._status)
            if message is None:
                break
            words = np.empty(self._status.Get_count(self._mpi.UINT64_T), np.uint64)
            source, tag = self._status.Get_source(), self._status.Get_tag()
            self._receiving.append((message.Irecv([words, self._mpi.UINT64_T]), source, tag, words))
        arrived = []
        if self._receiving:
            tested = [(item, item[0].Test()) for item in self._receiving]
            arrived = [item for item, done in tested if done]
            self._receiving = [item for item, done in tested if not done]
        if self._sending:
            self._sending = [item for item in self._sending if not item[0].Test()]
        for _, source, tag, words in arrived:
            self._take(source, tag, words)
        return bool(arrived)

    def barrier(self) -> None:
        """Waits until all ranks are here, and serves those that are not."""
        self._check_open()
        # Whoever enters has had its replies: when all have entered, no request is on its way.
        request = self._comm.Ibarrier()
        self._wait(request.Test)
        self._wait(lambda: not self._sending)

    def fail(self, reason: str) -> None:
        """Tells all other ranks that this one gives up; their next call raises ``reason``."""
        words = encode(Kind.FAILED, 0, [text_section(reason)])
        for rank in range(self.size):
            if rank != self.rank:
                self._send(rank, _FAILURE, words)
        self._closed = True

    def close(self) -> None:
        """Waits until all ranks close, and frees the communicator; a second call does nothing."""
        if self._closed:
            return
        self.barrier()
        self._closed = True
        self._comm.Free()

    def _check_open(self) -> None:
        if self._closed:
            raise GraphMetaError("the metadata service is closed on this rank")

    def _send(self, rank: int, tag: int, words: Words) -> None:
        self._sending.append((self._comm.Isend([words, self._mpi.UINT64_T], rank, tag), words))

    def _take(self, source: int, tag: int, words: Words) -> None:
        message = decode(words)
        if tag == _REQUEST:
            self._send(source, _REPLY, encode(*self._answer(message)))
        elif tag == _REPLY:
            self._replies[source, message.number] = message
        else:
            self._closed = True
            raise GraphMetaError(f"rank {source} failed: {text_of(message.sections[0])}")

    def _answer(self, request: Message) -> Message:
        """Answers a request; an error goes to who asked, and ends nobody else."""
        try:
            if request.kind not in self._handlers:
                raise InvalidValueError(f"rank {self.rank} does not answer {request.kind.name}")
            kind, sections = self._handlers[request.kind](request.sections)
        except ParslTLError as error:
            refused = text_section(f"{type(error).__name__}:{error}")
            return Message(Kind.REFUSED, request.number, (refused,))
        return Message(kind, request.number, tuple(sections))

    def _wait(self, is_done: Callable[[], bool]) -> None:
        idle = 0
        while not is_done():
            if self.progress():
                idle = 0
                continue
            idle += 1
            if idle < self._yields:
                os.sched_yield()
            else:
                time.sleep(_NAP if idle < _MANY_NAPS + self._yields else _LONG_NAP)

    def _shares_cores(self) -> bool:
        node = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        num_ranks = int(node.Get_size())
        node.Free()
        return num_ranks > len(os.sched_getaffinity(0))


def _refusal(text: str) -> ParslTLError:
    """Makes the error that another rank raised."""
    name, _, reason = text.partition(":")
    kind = getattr(errors, name, GraphMetaError)
    return kind(reason)
