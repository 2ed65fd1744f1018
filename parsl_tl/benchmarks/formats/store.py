"""A model store, in a folder or on servers, which all processes of a case share.

A tenth is written as a child that owns the last tenth of the layers and inherits the others from a
model that is there. The first read after opening maps the segment and, with checksums on, verifies
what it delivers; opening itself is not timed. In other mapped reads this process still holds arrays
of the model, as one has that trains with it: the store unmaps a segment that nobody holds any more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from parsl_tl.benchmarks.core.store_servers import open_servers
from parsl_tl.benchmarks.formats.bench_model import (
    TENTH,
    WHOLE,
    Array,
    BenchModel,
    LayerWeights,
    flat,
)
from parsl_tl.benchmarks.formats.operation import (
    FRESH,
    INTO,
    READ,
    WRITE,
    Method,
    Operation,
    copy_all,
)
from parsl_tl.errors import BenchmarkError
from parsl_tl.store import open_store

VIEWS: Final = "views"
COPY: Final = "views+copy"
FIRST: Final = "first"
REPEAT: Final = "repeat"
NETWORK: Final = "network"
MAPPED: Final = "mapped"


def checksum_word(checksums: bool) -> str:
    """Returns how ``how`` tells whether checksums are on."""
    return f"checksums {'on' if checksums else 'off'}"


class ReadWay(NamedTuple):
    """One way to read: what ``how`` says, what is read, from which store; None: a new one."""

    how: str
    what: str
    store: Any


class StoredModels(Method):
    """Models of one process in a store."""

    def __init__(
        self,
        name: str,
        model: BenchModel,
        out: LayerWeights,
        parts: Sequence[str],
        base: int,
        open_new: Callable[[], Any],
    ) -> None:
        """Opens the store.

        Args:
            name: what the format is called in results.
            model: what is put.
            out: arrays to read into.
            parts: of the model.
            base: the id of the model that is read; the next ones are for puts.
            open_new: opens the store, here and for every first read.
        """
        self._name, self._model, self._out, self._parts = name, model, out, parts
        self._base, self._numbers = base, itertools.count(base + 1)
        self._open = open_new
        self.store = open_new()
        self.writer: Any = self.store
        self.put_how = "put"
        self.ways: list[ReadWay] = []
        self._fresh: Any = None
        self._held: Any = None

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self._put(self._base, WHOLE)
        self._held = self.store.read(self._base)
        return [
            op
            for part in self._parts
            for op in (self._put_op(part), *(self._read_op(part, way) for way in self.ways))
        ]

    def close(self) -> None:
        """Removes the model and closes the store."""
        self._held = None
        self._close_fresh()
        self.writer.retire(self._base)
        for store in {id(store): store for store in (self.store, self.writer)}.values():
            store.close()

    def _put(self, model_id: int, part: str) -> None:
        self.writer.put(
            model_id,
            self._model.graph,
            self._model.layers(part),
            quality=0.5,
            donor=self._base if part == TENTH else None,
        )

    def _put_op(self, part: str) -> Operation:
        model_id = self._base

        def before() -> None:
            nonlocal model_id
            model_id = next(self._numbers)

        def written(_: Any) -> list[Array]:
            with self._open() as store:
                whole = flat(cast(LayerWeights, store.read(model_id)))
                # A child is whole: what it inherits must be there too.
                is_whole = len(whole) == len(self._model.arrays(WHOLE))
                found = whole[-len(self._model.arrays(part)) :] if is_whole else []
                return [array.copy() for array in found]

        return Operation(
            *(self._name, WRITE, part, self.put_how),
            run=lambda: self._put(model_id, part),
            arrays=written,
            before=before,
            after=lambda: self.writer.retire(model_id),
        )

    def _read_op(self, part: str, way: ReadWay) -> Operation:
        names = None if part == WHOLE else self._model.names(part)
        targets = self._model.of(self._out, part)
        arrays = flat(targets)

        def run() -> Any:
            store = self._fresh if way.store is None else way.store
            if way.what == INTO:
                return store.read(self._base, names, out=targets)
            views = store.read(self._base, names)
            if way.what == COPY:
                copy_all(flat(cast(LayerWeights, views)), arrays)
            return views

        return Operation(
            *(self._name, READ, part, way.how),
            run=run,
            arrays=lambda result: arrays if way.what in (INTO, COPY) else flat(result),
            before=self._open_fresh if way.store is None else lambda: None,
            after=self._close_fresh,
        )

    def _open_fresh(self) -> None:
        self._fresh = self._open()

    def _close_fresh(self) -> None:
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None


def embedded(
    model: BenchModel, out: LayerWeights, parts: Sequence[str], base: int, folder: Path, sums: bool
) -> StoredModels:
    """Returns a store in a folder, with every way to read; ``sums``: it has checksums."""
    made = StoredModels(
        *("store", model, out, parts, base),
        lambda: open_store(f"embedded:{folder}", checksums=sums),
    )
    made.put_how = f"put, {checksum_word(sums)}"
    made.ways = [
        ReadWay(
            f"{what}, {when}, {checksum_word(sums)}", what, made.store if when == REPEAT else None
        )
        for what in (VIEWS, COPY, INTO)
        for when in (FIRST, REPEAT)
    ]
    return made


def embedded_alone(
    model: BenchModel, out: LayerWeights, parts: Sequence[str], base: int, folder: Path
) -> StoredModels:
    """Returns a store in a folder, as servers are compared with it."""
    made = StoredModels(
        "embedded", model, out, parts, base, lambda: open_store(f"embedded:{folder}")
    )
    made.ways = [ReadWay(INTO, INTO, made.store)]
    return made


def served(
    model: BenchModel, out: LayerWeights, parts: Sequence[str], base: int, servers: Sequence[str]
) -> StoredModels:
    """Returns a store on servers, which are on this machine, so that their files can be mapped.

    Raises:
        BenchmarkError: they cannot.
    """
    made = StoredModels("store", model, out, parts, base, lambda: open_servers(servers))
    if not all(made.store.is_mapped):
        raise BenchmarkError("the servers' files cannot be mapped; choose another --folder")
    made.writer = open_servers(servers, maps_segments=False)
    made.put_how = NETWORK
    stores = {NETWORK: made.writer, MAPPED: made.store}
    ways = ((NETWORK, INTO), (NETWORK, FRESH), (MAPPED, INTO), (MAPPED, VIEWS))
    made.ways = [ReadWay(f"{way}, {what}", what, stores[way]) for way, what in ways]
    return made
