"""Models that processes write and read at the same time, by every format: what both suites share.

In every round all formats move the same bytes, one after the other in an order that changes, so
that drifts of the machine hit all of them. There are as many rounds as fit the time of a case.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from parsl_tl.benchmarks.core.file_cache import files_under, sync
from parsl_tl.benchmarks.core.processes import Processes, Worker
from parsl_tl.benchmarks.core.queries import Question, ask_engine
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.formats.bare import Asked, Bare
from parsl_tl.benchmarks.formats.bench_model import PARTS, BenchModel, flat, make_model
from parsl_tl.benchmarks.formats.file_format import same_arrays
from parsl_tl.benchmarks.formats.operation import FRESH, INTO, Copies, Method, Operation
from parsl_tl.benchmarks.formats.plain import PlainFiles
from parsl_tl.benchmarks.formats.redis import RedisValues
from parsl_tl.benchmarks.formats.safetensors import SafetensorsFiles
from parsl_tl.benchmarks.formats.store import NETWORK, embedded, embedded_alone, served
from parsl_tl.benchmarks.formats.weights_h5 import Hdf5Files, KerasWeightsFiles
from parsl_tl.errors import BenchmarkError

# Ids of one process, in a store that a case has for itself; and on servers, which cases share.
_IDS_PER_WORKER = 1 << 40
_IDS_PER_CASE = 1 << 32
_MOST_CLIENTS = 1 << 10


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


class Measured(NamedTuple):
    """An operation of one process, or of all, and its times; see ``Operation``.

    Attributes:
        method: of the operation, as are the next three.
        operation: see there.
        part: see there.
        how: see there.
        num_bytes: bytes that are moved.
        spans: (start, end) of each repetition, seconds of the clock that all processes share.
    """

    method: str
    operation: str
    part: str
    how: str
    num_bytes: int
    spans: list[tuple[float, float]]

    @property
    def times(self) -> dict[str, float]:
        """The figures of all repetitions, as rows have them."""
        seconds = [end - start for start, end in self.spans]
        return {"seconds_median": statistics.median(seconds), "seconds_min": min(seconds)}


class Rounds(Protocol):
    """How often everything is repeated: at least, at most, and for how long in between."""

    @property
    def min_rounds(self) -> int:
        """At least."""

    @property
    def max_rounds(self) -> int:
        """At most."""

    @property
    def case_seconds(self) -> float:
        """As many as fit this time."""


class BandwidthWorker(Worker):
    """What a process does for a case: ``prepare``, ``repeat``, ``clear``."""

    def __init__(self, index: int, barriers: dict[int, Any]) -> None:
        """Has no model yet."""
        super().__init__(index, barriers)
        self._methods: list[Method] = []
        self._operations: list[Operation] = []
        self._shape: tuple[float, int] | None = None

    def prepare(self, case: Case) -> None:
        """Makes models and files for a case and does every operation once, comparing bytes.

        Raises:
            BenchmarkError: a format gave other bytes than were written.
        """
        self._case = case
        # The same in all processes; and no format always comes after the same other one.
        self._order = random.Random(case.seed)
        if self._shape != (case.model_mb, case.layers):
            self._new_model(case)
        self._methods = [method for name in case.methods for method in self._make(name)]
        self._operations = [op for method in self._methods for op in method.operations()]
        for operation in self._operations:
            # What an earlier read delivered must not be taken for the next one's.
            for array in flat(self._out):
                array.fill(-1.0)
            self._do(operation, check=True)

    def repeat(self, rounds: int) -> list[Measured]:
        """Does all operations so many times, in an order that changes from round to round."""
        spans: list[list[tuple[float, float]]] = [[] for _ in self._operations]
        places = list(range(len(self._operations)))
        for _ in range(rounds):
            self._order.shuffle(places)
            for place in places:
                spans[place].append(self._do(self._operations[place]))
        return [
            Measured(op.method, op.operation, op.part, op.how, self._model.num_bytes(op.part), own)
            for op, own in zip(self._operations, spans, strict=True)
        ]

    def clear(self, _: None) -> None:
        """Closes what the case had open; its folder can then go."""
        self._operations = []
        for method in self._methods:
            method.close()
        self._methods = []

    def _do(self, operation: Operation, check: bool = False) -> tuple[float, float]:
        operation.before()
        self.meet(self._case.processes)
        start = time.perf_counter()
        result = operation.run()
        end = time.perf_counter()
        if check and operation.arrays is not None:
            expected = self._model.arrays(operation.part)
            if not same_arrays(operation.arrays(result), expected):
                raise BenchmarkError(
                    f"{operation.method} ({operation.how}, {operation.part}) does not give back "
                    "the bytes that were written; leave it out of --methods and report this"
                )
        del result  # what was read is freed when the clock has stopped
        operation.after()
        return start, end

    def _new_model(self, case: Case) -> None:
        self._shape = None
        self._keras_model: Any = None
        self._model = make_model(case.model_mb, case.layers, case.seed + self.index)
        self._out = self._model.destination()
        if "hdf5" in case.methods and not case.scheme:
            self._keras_model = _keras_model(self._model)
        self._shape = (case.model_mb, case.layers)

    def _make(self, name: str) -> Iterator[Method]:
        """Yields what measures a format, one way or several."""
        case, model, out, parts = self._case, self._model, self._out, self._case.parts
        folder = case.folder / f"{name}-{self.index}"
        if name == "memcpy":
            yield Copies(model, out, parts, *((INTO, FRESH) if case.scheme else ("copyto",)))
        elif name == "plain":
            yield PlainFiles(model, out, folder, parts)
        elif name == "safetensors":
            yield SafetensorsFiles(model, out, folder, parts)
        elif name == "hdf5" and case.scheme:
            yield Hdf5Files(model, out, folder, parts)
        elif name == "hdf5":
            yield KerasWeightsFiles(model, out, folder, parts, self._keras_model)
        elif name == "redis" and case.redis_socket is not None:
            yield RedisValues(model, case.redis_socket, self.index, parts)
        elif name == "bare" and case.bare:
            bare = Bare(model, case.scheme, case.bare[self.index % len(case.bare)], parts)
            yield bare
            yield Asked("bare", "rpc", lambda *_: bare.client.rpc(), case.questions)
        elif name in ("store", "embedded"):
            yield from self._stores(name)

    def _stores(self, name: str) -> Iterator[Method]:
        case, given = self._case, (self._model, self._out, self._case.parts)
        base = self.index * _IDS_PER_WORKER
        # One store for all processes, as a node, or a server, has one.
        if name == "embedded":
            yield embedded_alone(*given, base, case.folder / "embedded")
        elif not case.scheme:
            yield embedded(*given, base, case.folder / "store", True)
            yield embedded(*given, base, case.folder / "store-unchecked", False)
        else:
            # Clients and puts take turns with the servers: those of a model follow from its id.
            place = case.number * _MOST_CLIENTS + self.index + 1
            made = served(*given, place * _IDS_PER_CASE + self.index, case.servers)
            yield made
            yield Asked("store", NETWORK, ask_engine(made.writer), case.questions)


def _keras_model(model: BenchModel) -> Any:
    """Builds the Keras model, with weights in the memory of the host."""
    from parsl_tl.training.runtime import configure_threads

    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # only to spare us a line about it
    configure_threads()
    keras_model = model.graph.to_keras()
    for name, arrays in model.weights.items():
        keras_model.get_layer(name).set_weights(arrays)
    return keras_model


def measure_case(workers: Processes, case: Case, settings: Rounds) -> list[Measured]:
    """Measures a case in as many rounds as fit; times are from the first start to the last end."""
    workers.ask(case.processes, "prepare", case)
    # Otherwise the kernel writes files to read while others are written, and holds up those.
    for path in files_under(case.folder):
        sync(path)
    start = time.perf_counter()
    rounds = [workers.ask(case.processes, "repeat", settings.min_rounds)]
    seconds = (time.perf_counter() - start) / settings.min_rounds
    fitting = min(settings.max_rounds, int(settings.case_seconds / seconds)) - settings.min_rounds
    if fitting > 0:
        rounds.append(workers.ask(case.processes, "repeat", fitting))
    workers.ask(case.processes, "clear")
    return [_together(same) for same in zip(*map(_all_operations, rounds), strict=True)]


def _all_operations(by_process: Sequence[Sequence[Measured]]) -> list[Measured]:
    found = []
    for same in zip(*by_process, strict=True):
        spans = [
            (min(start for start, _ in own), max(end for _, end in own))
            for own in zip(*(one.spans for one in same), strict=True)
        ]
        num_bytes = sum(one.num_bytes for one in same)
        found.append(same[0]._replace(num_bytes=num_bytes, spans=spans))
    return found


def _together(rounds: Sequence[Measured]) -> Measured:
    return rounds[0]._replace(spans=[span for own in rounds for span in own.spans])


def ratio(row: Row, baseline: Row | None, column: str = "seconds_median") -> float | None:
    """Returns how many times as fast a row is as another one, None without one."""
    return None if baseline is None else baseline[column] / row[column]
