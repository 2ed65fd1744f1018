"""What is timed of a format: writing and reading a model's arrays, whole and a tenth of them.

A write goes to a name of its own, which is deleted after the clock has stopped. Reads are of what
this process wrote before, so they come from memory, for all formats alike; none of them syncs.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.benchmarks.formats.bench_model import WHOLE, Array, BenchModel, LayerWeights, flat

WRITE: Final = "write"
READ: Final = "read"
QUERY: Final = "query"
# How a read ends: in arrays that are there and touched, or in new ones from the kernel.
INTO: Final = "into"
FRESH: Final = "fresh"
Reader = tuple[str, Callable[[Path], list[Array]]]


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
    arrays: Callable[[Any], list[Array]] | None
    before: Callable[[], None] = _nothing
    after: Callable[[], None] = _nothing


class Method(ABC):
    """A way to keep weights, for one model in one process; close it when done."""

    @abstractmethod
    def operations(self) -> list[Operation]:
        """Returns what there is to measure; what reads need is written here."""

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Gives back memory, connections and files that are open."""


class Copies(Method):
    """Copies from memory to memory: the baseline for reads."""

    def __init__(
        self, model: BenchModel, out: LayerWeights, parts: Sequence[str], into: str, fresh: str = ""
    ) -> None:
        """Takes the arrays to copy from and into; what ``how`` says of either, empty for not."""
        self._model, self._out, self._parts = model, out, parts
        self._hows = (into, fresh)

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        return [op for part in self._parts for op in self._reads(part) if op.how]

    def _reads(self, part: str) -> list[Operation]:
        sources, targets = self._model.arrays(part), flat(self._model.of(self._out, part))

        def into() -> list[Array]:
            copy_all(sources, targets)
            return targets

        def fresh() -> list[Array]:
            return [source.copy() for source in sources]

        return [
            Operation("memcpy", READ, part, how, run, lambda result: result)
            for how, run in zip(self._hows, (into, fresh), strict=True)
        ]


class FileMethod(Method):
    """A format that keeps each model, or part of one, in a file of its own."""

    name: ClassVar[str]
    suffix: ClassVar[str] = ""

    def __init__(
        self, model: BenchModel, out: LayerWeights, folder: Path, parts: Sequence[str]
    ) -> None:
        """Nothing is written yet.

        Args:
            model: what is written.
            out: arrays to read into, for formats that can.
            folder: where the files go; this object's alone, and made by it.
            parts: of the model.
        """
        self.model, self.out, self._parts = model, out, parts
        folder.mkdir()
        self._paths = (
            folder / f"{self.name}-{number}{self.suffix}" for number in itertools.count()
        )
        self.file = next(self._paths)

    @abstractmethod
    def writer(self, part: str) -> tuple[str, Callable[[Path], Any]]:
        """Returns how a part is written, and the function that writes it to a new file."""

    @abstractmethod
    def readers(self, part: str) -> list[Reader]:
        """Returns how a part is read from a file with the whole model, and the functions."""

    @abstractmethod
    def written(self, path: Path, part: str) -> list[Array]:
        """Returns what stands in a file that holds this part only."""

    def delivered(self, result: Any, part: str) -> list[Array]:
        """Returns the arrays that a read delivered, from what it returned."""
        arrays: list[Array] = result
        return arrays

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self.writer(WHOLE)[1](self.file)
        return [op for part in self._parts for op in (self._write(part), *self._reads(part))]

    def _write(self, part: str) -> Operation:
        path = self.file
        how, write = self.writer(part)

        def before() -> None:
            nonlocal path
            path = next(self._paths)

        return Operation(
            *(self.name, WRITE, part, how),
            run=lambda: write(path),
            arrays=lambda _: self.written(path, part),
            before=before,
            after=lambda: path.unlink(),
        )

    def _reads(self, part: str) -> list[Operation]:
        def operation(how: str, read: Callable[[Path], Any]) -> Operation:
            return Operation(
                *(self.name, READ, part, how),
                run=lambda: read(self.file),
                arrays=lambda result: self.delivered(result, part),
            )

        return [operation(how, read) for how, read in self.readers(part)]


def copy_all(sources: Iterable[Array], targets: Iterable[Array]) -> None:
    """Copies arrays into others of the same shapes."""
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


def as_bytes(arrays: Iterable[Array]) -> list[memoryview]:
    """Returns the memory of contiguous arrays, without a copy."""
    return [array.reshape(-1).view(np.uint8).data for array in arrays]
