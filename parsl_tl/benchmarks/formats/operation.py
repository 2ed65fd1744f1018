"""What is timed of a format: writing and reading a model's arrays, whole and a tenth of them.

A write goes to a name of its own, which is deleted after the clock has stopped. Reads are of what
this process wrote before, so they come from memory, for all formats alike; none of them syncs.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from parsl_tl.benchmarks.core.queries import Question
from parsl_tl.benchmarks.formats.bench_model import PARTS, WHOLE, Array, BenchModel, LayerWeights

WRITE: Final = "write"
READ: Final = "read"
QUERY: Final = "query"
# How a read ends: in arrays that are there and touched, or in new ones from the kernel.
INTO: Final = "into"
FRESH: Final = "fresh"


@dataclass(frozen=True)
class Case:
    """What all processes do at the same time.

    Attributes:
        folder: a new folder for this case alone.
        model_mb: millions of bytes per model.
        layers: dense layers per model.
        processes: how many take part.
        methods: names of formats.
        seed: of weights and of the order of operations.
        redis_socket: of the server, if it takes part.
        parts: of the models, ``whole`` and ``tenth``.
        scheme: of the transport of the servers; empty for a store in the folder.
        providers: how many servers there are.
        servers: connection strings of the store's; none where it takes no part.
        bare: addresses of bare servers; none where the transport is not measured by itself.
        number: of the case among all on the same servers, from which model ids follow.
        questions: what is asked for in one operation; none for no such operation.
    """

    folder: Path
    model_mb: float
    layers: int
    processes: int
    methods: tuple[str, ...]
    seed: int
    redis_socket: str | None = None
    parts: tuple[str, ...] = PARTS
    scheme: str = ""
    providers: int = 0
    servers: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    number: int = 0
    questions: tuple[Question, ...] = ()


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Operation:
    """One measurement of one format.

    Attributes:
        method: name of the format.
        operation: ``write``, ``read`` or ``query``.
        part: ``whole`` or ``tenth``, which layers.
        how: what distinguishes it from the format's others.
        run: what is timed.
        arrays: gives the arrays that were read, or now stand where they were written, from what
            ``run`` returned; called after the first run to compare bytes. None where there is
            nothing to compare.
        before: what happens before the clock starts.
        after: what happens after it stopped.
    """

    method: str
    operation: str
    part: str
    how: str
    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]] | None = None
    before: Callable[[], None] = _nothing
    after: Callable[[], None] = _nothing

    @property
    def names(self) -> dict[str, str]:
        """The columns that tell it from others."""
        return {name: getattr(self, name) for name in ("method", "operation", "part", "how")}


class Method(ABC):
    """A way to keep weights, for one model in one process; close it when done."""

    name = ""

    def __init__(self, case: Case, model: BenchModel, out: LayerWeights, index: int) -> None:
        """Takes what is measured, the model, arrays to read into, and the number of the process."""
        self.case, self.model, self.out, self.index = case, model, out, index

    @abstractmethod
    def operations(self) -> list[Operation]:
        """Returns what there is to measure; what reads need is written here."""

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Gives back memory, connections and files that are open."""

    def read(self, part: str, how: str, run: Callable[[], Any], **more: Any) -> Operation:
        """Makes an operation that reads; what it returns are the arrays, unless told otherwise."""
        return Operation(self.name, READ, part, how, run, **{"arrays": list, **more})

    def asked(self, how: str, ask: Callable[..., Any]) -> list[Operation]:
        """Makes an operation of all questions of the case, one after the other, if there are any.

        Answers are compared elsewhere.
        """

        def run() -> None:
            for question in self.case.questions:
                ask(*question)

        return [Operation(self.name, QUERY, WHOLE, how, run)] if self.case.questions else []


class KeptModels(Method):
    """A way that keeps models by number, so that each write makes a new one."""

    how_written: Mapping[str, str]
    """What ``how`` says of writing, by part."""

    @abstractmethod
    def write(self, number: int, part: str) -> Any:
        """Writes a part of the model; number 0 is whole, and all reads are of it."""

    @abstractmethod
    def reads(self, part: str) -> list[Operation]:
        """Returns the ways to read a part of number 0."""

    @abstractmethod
    def stored(self, number: int, part: str) -> list[Array]:
        """Reads back what ``write`` made of a part."""

    @abstractmethod
    def delete(self, number: int) -> None:
        """Deletes what ``write`` made."""

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self.write(0, WHOLE)
        numbers = itertools.count(1)
        return [
            operation
            for part in self.case.parts
            for operation in (self._write(part, numbers), *self.reads(part))
        ]

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


def _nothing_missing() -> str | None:
    return None


@dataclass(frozen=True, eq=False)
class ArrayFormat:
    """A way to keep arrays, as its file declares it.

    Attributes:
        name: that users type.
        rank: its place among the others.
        suites: that measure it, and the packages that it needs there.
        make: what measures a case in one process, several where there are variants; takes what
            ``Method`` is made with.
        missing: gives why it cannot be measured here for another reason.
    """

    name: str
    rank: int
    suites: Mapping[str, tuple[str, ...]]
    make: Callable[..., list[Method]]
    missing: Callable[[], str | None] = _nothing_missing


def copy_all(sources: Iterable[Array], targets: Iterable[Array]) -> None:
    """Copies arrays into others of the same shapes."""
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


def as_bytes(arrays: Iterable[Array]) -> list[memoryview]:
    """Returns the memory of contiguous arrays, without a copy."""
    return [array.reshape(-1).view(np.uint8).data for array in arrays]
