"""A model store, in a folder or on servers, which all processes of a case share.

A tenth is written as a child that owns the last tenth of the layers and inherits the others from a
model that is there. The first read after opening maps the segment and, with checksums on, verifies
what it delivers; opening itself is not timed. In other mapped reads this process still holds arrays
of the model, as one has that trains with it: the store unmaps a segment that nobody holds any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core.queries import ask_engine
from parsl_tl.benchmarks.core.servers import open_servers
from parsl_tl.benchmarks.formats.bench_model import PARTS, TENTH, WHOLE, Array, flat
from parsl_tl.benchmarks.formats.file_format import FileFormat, LayerArrays, Names
from parsl_tl.benchmarks.formats.method import FRESH, INTO, KeptModels, Operation, copy_all
from parsl_tl.errors import BenchmarkError
from parsl_tl.store import open_store

VIEWS: Final = "views"
COPY: Final = "views+copy"
NETWORK: Final = "network"
MAPPED: Final = "mapped"
# Ids of one process, in a store that a case has for itself; and on servers, which cases share.
_IDS_PER_WORKER = 1 << 40
_IDS_PER_CASE = 1 << 32
_MOST_CLIENTS = 1 << 10
_MODEL_ID = 1  # of a store with one model


class _Embedded(KeptModels):
    """Models of one process in a store in a folder, as servers are compared with it."""

    name, rank, suites, folder = "embedded", 6, ("remote",), "embedded"
    how_written = dict.fromkeys(PARTS, "put")
    checksums = True

    def begin(self) -> None:
        self.base = self.index * _IDS_PER_WORKER
        self.store = self.open()
        self.writer: Any = self.store
        self._opened: Any = None
        self._held: Any = None

    def open(self) -> Any:
        return open_store(f"embedded:{self.case.folder / self.folder}", checksums=self.checksums)

    def write(self, number: int, part: str) -> None:
        donor = self.base if part == TENTH else None
        layers = self.model.layers(part)
        self.writer.put(self.base + number, self.model.graph, layers, quality=0.5, donor=donor)

    def operations(self) -> list[Operation]:
        found = super().operations()
        self._held = self.store.read(self.base)
        return found

    def reads(self, part: str) -> list[Operation]:
        return [self.read_model(part, INTO, INTO, self.store)]

    def stored(self, number: int, part: str) -> list[Array]:
        with self.open() as store:
            whole = flat(store.read(self.base + number))
            # A child is whole: what it inherits must be there too.
            is_whole = len(whole) == len(self.model.arrays(WHOLE))
            found = whole[-len(self.model.arrays(part)) :] if is_whole else []
            return [array.copy() for array in found]

    def delete(self, number: int) -> None:
        self.writer.retire(self.base + number)

    def close(self) -> None:
        self._held = None
        self._close_again()
        self.delete(0)
        for store in {id(store): store for store in (self.store, self.writer)}.values():
            store.close()

    def read_model(self, part: str, how: str, what: str, given: Any) -> Operation:
        # From a store, or from one that is opened for it.
        names = None if part == WHOLE else list(self.model.layers(part))
        targets = self.model.of(self.out, part)
        arrays = flat(targets)

        def run() -> Any:
            store = self._opened if given is None else given
            if what == INTO:
                return store.read(self.base, names, out=targets)
            views = store.read(self.base, names)
            if what == COPY:
                copy_all(flat(views), arrays)
            return views

        def open_again() -> None:
            self._opened = self.open() if given is None else None

        fills = what in (INTO, COPY)
        more = {"before": open_again, "after": self._close_again}
        return self.read(part, how, run, arrays=lambda r: arrays if fills else flat(r), **more)

    def _close_again(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


class _Stored(_Embedded):
    """The same with every way to read, and with checksums."""

    name, rank, suites, folder = "store", 7, ("store",), "store"

    def begin(self) -> None:
        super().begin()
        self._word = f"checksums {'on' if self.checksums else 'off'}"
        self.how_written = dict.fromkeys(PARTS, f"put, {self._word}")

    def reads(self, part: str) -> list[Operation]:
        return [
            self.read_model(part, f"{what}, {when}, {self._word}", what, store)
            for what in (VIEWS, COPY, INTO)
            for when, store in (("first", None), ("repeat", self.store))
        ]


class _Unchecked(_Stored):
    """The same without checksums."""

    folder, checksums, suites = "store-unchecked", False, ("store",)


class _Served(_Embedded):
    """Models in a store on servers of this machine, so that their files can be mapped."""

    name, rank, suites = "store", 7, ("remote",)
    how_written = dict.fromkeys(PARTS, NETWORK)

    def begin(self) -> None:
        super().begin()
        # Clients and puts take turns with the servers: those of a model follow from its id.
        number = self.case.number * _MOST_CLIENTS + self.index + 1
        self.base = number * _IDS_PER_CASE + self.index
        if not all(self.store.is_mapped):
            raise BenchmarkError("the servers' files cannot be mapped; choose another --folder")
        self.writer = open_servers(self.case.servers, maps_segments=False)

    def open(self) -> Any:
        return open_servers(self.case.servers)

    def operations(self) -> list[Operation]:
        return [*super().operations(), *self.asked(NETWORK, ask_engine(self.writer))]

    def reads(self, part: str) -> list[Operation]:
        ways = ((NETWORK, INTO), (NETWORK, FRESH), (MAPPED, INTO), (MAPPED, VIEWS))
        stores = {NETWORK: self.writer, MAPPED: self.store}
        return [self.read_model(part, f"{way}, {what}", what, stores[way]) for way, what in ways]


class _Folder(FileFormat):
    """A store in a folder with one Keras model, under the names that its layers have there."""

    name, rank, suffix, is_file = "store", 4, ".store", False

    def save(self, model: Any, path: Path) -> None:
        from parsl_tl.transfer.weights import layers_with_weights, read_weights

        graph = ArchitectureGraph.from_keras(model)
        with open_store(f"embedded:{path}") as store:
            weights = read_weights(layers_with_weights(model, graph))
            store.put(_MODEL_ID, graph, weights, quality=0.5)

    def keys(self, model: Any) -> Mapping[str, str]:
        from parsl_tl.transfer.weights import layers_with_weights

        layers = layers_with_weights(model, ArchitectureGraph.from_keras(model))
        return {layer.name: name for name, layer in layers.items()}

    def read(self, path: Path, layers: Names, keys: Mapping[str, str]) -> LayerArrays:
        names = {keys[name]: name for name in (keys if layers is None else layers)}
        with open_store(f"embedded:{path}", read_only=True) as store:
            shapes = store.shapes(_MODEL_ID, list(names))
            out = {name: [np.empty(*shape) for shape in shapes[name]] for name in names}
            store.read(_MODEL_ID, list(names), out=out)
        return {name: list(out[key]) for key, name in names.items()}
