"""Putting into a store on servers and getting from it, and what stands beside that.

Each way is a ``Method`` as the benchmark of the embedded store has them. ``how`` tells whether a
read goes ``into`` arrays that are there and touched, gives ``fresh`` ones, which the process has to
get from the kernel, or ``views``.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.store_servers import open_servers
from parsl_tl.benchmarks.store_methods import (
    READ,
    WRITE,
    FileMethod,
    Method,
    Operation,
    copy_all,
)
from parsl_tl.benchmarks.store_models import TENTH, WHOLE, Array, BenchModel, LayerWeights, flat
from parsl_tl.errors import BenchmarkError
from parsl_tl.store.remote import RemoteStore

QUERY = "query"
INTO, FRESH, VIEWS = "into", "fresh", "views"
NETWORK, MAPPED = "network", "mapped"
_NO_WEIGHTS = np.empty(0, np.float64)
_NO_MODELS: set[int] = set()


def ask_engine(engine: Any) -> Callable[[NDArray[np.uint64]], Any]:
    """Returns the native query for one model, by number of layers, as a function of its keys.

    Args:
        engine: of an embedded store, or of one on servers.
    """

    def ask(keys: NDArray[np.uint64]) -> Any:
        starts = np.array([0, len(keys)], np.int64)
        return engine.best_ancestors(
            keys, starts, _NO_WEIGHTS, "layers", 0.0, None, _NO_MODELS, threads=1
        )

    return ask


def match_engine(engine: Any) -> Callable[[NDArray[np.uint64]], Any]:
    """Returns the same query with what makes it a match: the model is opened, and kept from going.

    Args:
        engine: see ``ask_engine``.
    """

    def match(keys: NDArray[np.uint64]) -> Any:
        return engine.best_ancestor(keys, _NO_WEIGHTS, "layers", 0.0, None, _NO_MODELS)

    return match


class Chosen(Method):
    """Some operations of another method."""

    def __init__(
        self, name: str, method: Method, parts: Sequence[str], ways: Mapping[str, str] | None = None
    ) -> None:
        """Takes a method, which this one closes.

        Args:
            name: what the method is called here.
            method: the method.
            parts: whose operations are taken.
            ways: what ``how`` of an operation becomes; others are left out. None takes all.
        """
        self._name = name
        self._method = method
        self._parts = parts
        self._ways = ways

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        return [
            replace(op, method=self._name, how=op.how if self._ways is None else self._ways[op.how])
            for op in self._method.operations()
            if op.part in self._parts and (self._ways is None or op.how in self._ways)
        ]

    def close(self) -> None:
        """See ``Method``."""
        self._method.close()


class Copies(Method):
    """Copies from memory to memory."""

    def __init__(self, model: BenchModel, out: LayerWeights, parts: Sequence[str]) -> None:
        """Takes the arrays to copy from, and those to copy into."""
        self._model = model
        self._out = out
        self._parts = parts

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        return [op for part in self._parts for op in (self._into(part), self._fresh(part))]

    def _into(self, part: str) -> Operation:
        sources, targets = self._model.arrays(part), targets_of(self._out, self._model, part)

        def run() -> None:
            copy_all(sources, targets)

        return Operation("memcpy", READ, part, INTO, run, lambda _: targets)

    def _fresh(self, part: str) -> Operation:
        sources = self._model.arrays(part)

        def run() -> list[Array]:
            return [source.copy() for source in sources]

        return Operation("memcpy", READ, part, FRESH, run, lambda result: result)


class Hdf5(FileMethod):
    """A file with the groups of Keras' ``.weights.h5``, written and read with h5py."""

    name = "hdf5"
    suffix = ".weights.h5"

    def __init__(self, model: BenchModel, out: LayerWeights, folder: Path) -> None:
        """See ``FileMethod``."""
        self._h5py = importlib.import_module("h5py")
        self._groups = {
            name: "layers/dense" + (f"_{place}" if place else "")
            for place, name in enumerate(model.weights)
        }
        super().__init__(model, out, folder)

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        found = super().operations()
        return found + [self._into(part) for part in (WHOLE, TENTH)]

    def write(self, path: Path, part: str) -> None:
        """See ``FileMethod``."""
        with self._h5py.File(path, "w") as file:
            for name, arrays in self.layers[part].items():
                for index, array in enumerate(arrays):
                    file[self._place(name, index)] = array

    def read(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        with self._h5py.File(path, "r") as file:
            return [
                file[self._place(name, index)][()]
                for name, arrays in self.layers[part].items()
                for index in range(len(arrays))
            ]

    def read_part(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        return self.read(path, part)

    def how(self, operation: str, part: str) -> str:
        """See ``FileMethod``."""
        return "h5py" if operation == WRITE else FRESH

    def _place(self, name: str, index: int) -> str:
        return f"{self._groups[name]}/vars/{index}"

    def _into(self, part: str) -> Operation:
        targets = targets_of(self.out, self.model, part)

        def run() -> None:
            with self._h5py.File(self._file, "r") as file:
                for name in self.layers[part]:
                    for index, target in enumerate(self.out[name]):
                        file[self._place(name, index)].read_direct(target)

        return Operation(self.name, READ, part, INTO, run, lambda _: targets)


class Bare(Method):
    """The transport alone, carrying as many bytes; what it carries is thrown away."""

    def __init__(
        self,
        model: BenchModel,
        module: ModuleType,
        address: str,
        parts: Sequence[str],
        queries: int,
    ) -> None:
        """Connects.

        Args:
            model: as many bytes as it has are carried, in one piece.
            module: of the transport.
            address: of a bare server.
            parts: of the model.
            queries: how many empty requests make up a query operation; 0 for no such operation.
        """
        self._client: Any = module.BareClient(address)
        self._model = model
        self._queries = queries
        self._pieces = {
            part: np.concatenate([a.reshape(-1).view(np.uint8) for a in model.arrays(part)])
            for part in parts
        }

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        found = [op for part in self._pieces for op in (self._put(part), self._get(part))]
        if self._queries:
            found.append(self._operation(QUERY, WHOLE, "rpc", self._ask))
        return found

    def close(self) -> None:
        """See ``Method``."""
        self._client = None

    def _put(self, part: str) -> Operation:
        piece = self._pieces[part]
        return self._operation(WRITE, part, "put", lambda: self._client.put(piece))

    def _get(self, part: str) -> Operation:
        size = self._pieces[part].nbytes
        return self._operation(READ, part, "get", lambda: self._client.get(size))

    def _ask(self) -> None:
        for _ in range(self._queries):
            self._client.rpc()

    def _operation(self, operation: str, part: str, how: str, run: Callable[[], Any]) -> Operation:
        # There is nothing to compare.
        arrays = self._model.arrays(part)
        return Operation("bare", operation, part, how, run, lambda _: arrays)


class Served(Method):
    """Models in a store on servers, which all clients of a case share.

    A tenth is put as a child that owns the last tenth of the layers and inherits the others. Puts
    go over the network; reads too, or map the files of the servers, which are on this machine. In
    a mapped read this process still holds arrays of the model, as one has that trains with it.
    """

    def __init__(
        self,
        model: BenchModel,
        out: LayerWeights,
        servers: Sequence[str],
        base: int,
        parts: Sequence[str],
        queries: Sequence[NDArray[np.uint64]],
    ) -> None:
        """Connects.

        Args:
            model: what is put.
            out: arrays to read into.
            servers: connection strings.
            base: the id of the model that is read; the next ones are for puts.
            parts: of the model.
            queries: layer keys of the models that are asked for, one after the other, in one
                operation; none for no such operation.
        """
        self._model = model
        self._out = out
        self._base = base
        self._parts = parts
        self._queries = queries
        self._numbers = itertools.count(base + 1)
        self._servers = servers
        self._stores = {
            NETWORK: open_servers(servers, maps_segments=False),
            MAPPED: open_servers(servers),
        }
        if not all(self._stores[MAPPED].is_mapped):
            raise BenchmarkError("the servers' files cannot be mapped; choose another --folder")
        self._held: Any = None

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self._put(self._base, WHOLE)
        self._held = self._stores[MAPPED].read(self._base)
        found = []
        for part in self._parts:
            found.append(self._put_op(part))
            for way, what in ((NETWORK, INTO), (NETWORK, FRESH), (MAPPED, INTO), (MAPPED, VIEWS)):
                found.append(self._get_op(part, way, what))
        if self._queries:
            found.append(self._query_op())
        return found

    def close(self) -> None:
        """Removes the model and disconnects."""
        self._held = None
        self._stores[MAPPED].close()
        self._stores[NETWORK].retire(self._base)
        self._stores[NETWORK].close()

    def _put(self, model_id: int, part: str) -> None:
        self._stores[NETWORK].put(
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
            with open_servers(self._servers) as store:
                whole = flat(cast(LayerWeights, store.read(model_id)))
                # A child is whole: what it inherits must be there too.
                is_whole = len(whole) == len(self._model.arrays(WHOLE))
                found = whole[-len(self._model.arrays(part)) :] if is_whole else []
                return [array.copy() for array in found]

        return Operation(
            "store",
            WRITE,
            part,
            NETWORK,
            lambda: self._put(model_id, part),
            written,
            before,
            lambda: self._retire(model_id),
        )

    def _retire(self, model_id: int) -> None:
        self._stores[NETWORK].retire(model_id)

    def _get_op(self, part: str, way: str, what: str) -> Operation:
        store: RemoteStore = self._stores[way]
        names = None if part == WHOLE else self._model.names(part)
        targets = {name: self._out[name] for name in self._model.names(part)}
        flat_targets = flat(targets)

        def run() -> Any:
            return store.read(self._base, names, out=targets if what == INTO else None)

        def arrays(result: Any) -> list[Array]:
            return flat_targets if what == INTO else flat(result)

        return Operation("store", READ, part, f"{way}, {what}", run, arrays)

    def _query_op(self) -> Operation:
        ask = ask_engine(self._stores[NETWORK]._engine)

        def run() -> None:
            for keys in self._queries:
                ask(keys)

        # There is nothing to compare; the answers are, where latencies are measured.
        arrays = self._model.arrays(WHOLE)
        return Operation("store", QUERY, WHOLE, NETWORK, run, lambda _: arrays)


def targets_of(out: LayerWeights, model: BenchModel, part: str) -> list[Array]:
    """Returns the arrays that a part is read into, in the order of the model's."""
    return flat({name: out[name] for name in model.names(part)})
