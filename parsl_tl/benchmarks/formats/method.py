"""What is timed of a format: writing and reading a model's arrays, whole and a tenth of them.

A write goes to a name of its own, which is deleted after the clock has stopped. Reads are of what
this process wrote before, so they come from memory, for all formats alike; none of them syncs.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.benchmarks.core.queries import Question
from parsl_tl.benchmarks.formats.bench_model import PARTS, WHOLE, Array, BenchModel, LayerWeights

WRITE: Final = "write"
READ: Final = "read"
QUERY: Final = "query"
# How a read ends: in arrays that are there and touched, or in new ones from the kernel.
INTO: Final = "into"
FRESH: Final = "fresh"
# Writes to a file; and reads a model of a number.
OnFile = Callable[[Path], Any]
Reader = Callable[[int], list[Any]]


@dataclass(frozen=True)
class Case:
    """What all processes do at the same time."""

    folder: Path  # a new folder for this case alone
    model_mb: float  # millions of bytes per model
    layers: int  # dense layers per model
    processes: int  # how many take part
    methods: tuple[str, ...]  # names of formats
    seed: int  # of weights and of the order of operations
    redis_socket: str | None = None  # of the server, if it takes part
    parts: tuple[str, ...] = PARTS  # of the models, ``whole`` and ``tenth``
    scheme: str = ""  # of the transport of the servers; empty for a store in the folder
    providers: int = 0  # how many servers there are
    servers: tuple[str, ...] = ()  # connection strings of the store's; none where it takes no part
    bare: tuple[str, ...] = ()  # addresses of bare servers, where the transport is measured alone
    number: int = 0  # of the case among all on the same servers, from which model ids follow
    questions: tuple[Question, ...] = ()  # asked in one operation; none for no such operation


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Operation:
    """One measurement of one format."""

    method: str  # name of the format
    operation: str  # ``write``, ``read`` or ``query``
    part: str  # ``whole`` or ``tenth``, which layers
    how: str  # what distinguishes it from the format's others
    run: Callable[[], Any]  # what is timed
    # Gives the arrays that were read, or now stand where they were written, from what ``run``
    # returned; called after the first run to compare bytes. None where there is nothing to compare.
    arrays: Callable[[Any], list[Array]] | None = None
    before: Callable[[], None] = _nothing  # what happens before the clock starts
    after: Callable[[], None] = _nothing  # what happens after it stopped


class Method(ABC):
    """A way to keep weights, for one model in one process; close it when done.

    A class in a file of this package with ``suites`` of its own takes part in those.
    """

    name: ClassVar[str]  # of the format, that users type
    rank: ClassVar[int]  # its place among the others
    suites: ClassVar[tuple[str, ...]] = ()  # that measure it
    packages: ClassVar[tuple[str, ...]] = ()  # that it needs
    # Gives why it cannot be measured here, besides packages, in one line, or None.
    missing: ClassVar[Callable[[], str | None]] = staticmethod(lambda: None)

    def __init__(self, case: Case, model: BenchModel, out: LayerWeights, index: int) -> None:
        """Takes what is measured, the model, arrays to read into, and the number of the process."""
        self.case, self.model, self.out, self.index = case, model, out, index
        self.begin()

    def begin(self) -> None:  # noqa: B027 (most need nothing)
        """Makes what operations need."""

    @abstractmethod
    def operations(self) -> list[Operation]:
        """Returns what there is to measure; what reads need is written here."""

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Gives back memory, connections and files that are open."""

    def read(self, part: str, how: str, run: Callable[[], Any], **more: Any) -> Operation:
        """Makes an operation that reads; what it returns are the arrays, unless told otherwise."""
        return Operation(self.name, READ, part, how, run, **{"arrays": list, **more})

    def asked(self, how: str, ask: Callable[..., Any]) -> list[Operation]:
        """Makes an operation of the case's questions, if any; answers are compared elsewhere."""

        def run() -> None:
            for question in self.case.questions:
                ask(*question)

        return [Operation(self.name, QUERY, WHOLE, how, run)] if self.case.questions else []


class KeptModels(Method):
    """A way that keeps models by number, so that each write makes a new one."""

    how_written: Mapping[str, str]  # what ``how`` says of writing, by part

    @abstractmethod
    def write(self, number: int, part: str) -> Any:
        """Writes a part of the model; number 0 is whole, and all reads that are timed are of it."""

    def readers(self, part: str) -> Mapping[str, Reader]:
        """Returns functions that read a part, by what ``how`` says; or override what asks them."""
        return {}

    @abstractmethod
    def delete(self, number: int) -> None:
        """Deletes what ``write`` made."""

    def stored(self, number: int, part: str) -> list[Array]:
        """Reads back what ``write`` made of a part."""
        return next(iter(self.readers(part).values()))(number)

    def reads(self, part: str) -> list[Operation]:
        """Returns the ways to read a part of number 0."""
        found = self.readers(part).items()
        return [self.read(part, how, partial(read, 0)) for how, read in found]

    def operations(self) -> list[Operation]:
        """Returns, when number 0 is there, the write of each part and the ways to read it."""
        self.write(0, WHOLE)
        numbers, parts = itertools.count(1), self.case.parts
        return [one for part in parts for one in (self._write(part, numbers), *self.reads(part))]

    def _write(self, part: str, numbers: Iterator[int]) -> Operation:
        number = 0

        def before() -> None:
            nonlocal number
            number = next(numbers)

        return Operation(
            *(self.name, WRITE, part, self.how_written[part]),
            run=lambda: self.write(number, part),
            arrays=lambda _: self.stored(number, part),
            before=before,
            after=lambda: self.delete(number),
        )


class FileMethod(KeptModels):
    """A format that keeps each model, or part of one, in a file of its own."""

    suffix: ClassVar[str] = ""

    def begin(self) -> None:
        """Makes a folder, in which nothing is written yet."""
        self.folder = self.case.folder / f"{self.name}-{self.index}"
        self.folder.mkdir()
        self._writers = {part: self.writer(part) for part in {WHOLE, *self.case.parts}}

    @abstractmethod
    def writer(self, part: str) -> OnFile:
        """Returns a function that writes a part to a new file."""

    def write(self, number: int, part: str) -> None:
        """Calls what ``writer`` made."""
        self._writers[part](self.path(number))

    def delete(self, number: int) -> None:
        """Removes the file."""
        self.path(number).unlink()

    def path(self, number: int) -> Path:
        """Returns the file of a model."""
        return self.folder / f"{self.name}-{number}{self.suffix}"


def copy_all(sources: Iterable[Array], targets: Iterable[Array]) -> None:
    """Copies arrays into others of the same shapes."""
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


def as_bytes(arrays: Iterable[Array]) -> list[memoryview]:
    """Returns the memory of contiguous arrays, without a copy."""
    return [array.reshape(-1).view(np.uint8).data for array in arrays]
