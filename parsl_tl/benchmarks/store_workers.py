"""The processes that write and read for the store benchmark, all at once where there are several.

They live as long as the benchmark, so that Keras is imported once, and take one case after the
other: ``prepare``, ``repeat``, ``clear``.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import BrokenBarrierError
from types import TracebackType
from typing import Any, Self

from parsl_tl.benchmarks.store_embedded import Embedded
from parsl_tl.benchmarks.store_methods import (
    KerasHdf5,
    Memcpy,
    Method,
    Operation,
    PlainFile,
    Safetensors,
)
from parsl_tl.benchmarks.store_models import (
    BenchModel,
    LayerWeights,
    destination,
    flat,
    make_model,
    same_bytes,
)
from parsl_tl.benchmarks.store_redis import Redis
from parsl_tl.errors import BenchmarkError
from parsl_tl.training.runtime import configure_threads

# Longer than the slowest operation; a process that was killed does not hold up the others for ever.
_BARRIER_SECONDS = 300.0
_END_SECONDS = 5.0
_DONE, _FAILED, _WAITED = "done", "failed", "waited"


@dataclass(frozen=True)
class Case:
    """What all processes do at the same time.

    Attributes:
        folder: a new folder for this case alone.
        model_mb: millions of bytes per model.
        layers: dense layers per model.
        processes: how many take part.
        methods: which ones.
        redis_socket: of the server, if it takes part.
        seed: of weights and of the order of operations.
    """

    folder: Path
    model_mb: float
    layers: int
    processes: int
    methods: tuple[str, ...]
    redis_socket: str | None
    seed: int


@dataclass(frozen=True)
class Measured:
    """An operation and its times.

    Attributes:
        method: see ``Operation``, as are the next three.
        operation: see there.
        part: see there.
        how: see there.
        num_bytes: bytes that one process moves.
        spans: (start, end) of each repetition, seconds of the clock that all processes share.
    """

    method: str
    operation: str
    part: str
    how: str
    num_bytes: int
    spans: list[tuple[float, float]]


class Workers:
    """Worker processes; use it in a ``with``, which ends them whatever happens."""

    def __init__(self, counts: Sequence[int]) -> None:
        """Nothing is started yet.

        Args:
            counts: how many processes will take part in a case; all that will be asked for.
        """
        self._context = multiprocessing.get_context("spawn")
        self._barriers = {count: self._context.Barrier(count) for count in counts}
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> Self:
        """Starts the processes."""
        try:
            for index in range(max(self._barriers)):
                ours, theirs = self._context.Pipe()
                process = self._context.Process(
                    target=_serve,
                    args=(self._worker_class(), index, theirs, self._barriers),
                    daemon=True,
                )
                self._pipes.append(ours)
                self._processes.append(process)
                process.start()
                # Only the process itself holds its end, so that its death ends the pipe.
                theirs.close()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def prepare(self, case: Case) -> None:
        """Makes models and files for a case and does every operation once, comparing bytes.

        Raises:
            BenchmarkError: a method gave other bytes than were written, or a process failed.
        """
        self._ask(case.processes, ("prepare", case))

    def repeat(self, case: Case, rounds: int) -> list[list[Measured]]:
        """Does all operations so many times, in an order that changes from round to round.

        Returns:
            For each process its operations, in the same order.
        """
        return self._ask(case.processes, ("repeat", rounds))

    def clear(self, case: Case) -> None:
        """Closes what the case had open; its folder can then go."""
        self._ask(case.processes, ("clear", None))

    def _ask(self, count: int, task: tuple[str, Any]) -> list[Any]:
        pipes = self._pipes[:count]
        replies: dict[Any, Any] = {}
        try:
            for pipe in pipes:
                pipe.send(task)
            while len(replies) < count:
                ready = wait([pipe for pipe in pipes if pipe not in replies])
                answers = {pipe: pipe.recv() for pipe in ready if isinstance(pipe, Connection)}
                # Those that waited in vain only tell that another one failed.
                for kind in (_FAILED, _WAITED):
                    for answer, value in answers.values():
                        if answer == kind:
                            raise BenchmarkError(f"{task[0]}: {value}")
                replies.update({pipe: value for pipe, (_, value) in answers.items()})
        except (EOFError, OSError) as error:
            raise BenchmarkError(
                f"a worker process ended while it should {task[0]} ({self._exit_codes()}); if "
                "memory ran out, choose smaller --sizes or fewer --processes"
            ) from error
        return [replies[pipe] for pipe in pipes]

    def _worker_class(self) -> type[_Worker]:
        return _Worker

    def _exit_codes(self) -> str:
        for process in self._processes:
            process.join(0.2)
        codes = [process.exitcode for process in self._processes]
        return "exit codes " + ", ".join("running" if code is None else str(code) for code in codes)

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.close()
        # Who is in the middle of something does not see the end of its pipe.
        started = [process for process in self._processes if process.pid is not None]
        for process in started:
            process.terminate()
        for process in started:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        self._processes, self._pipes = [], []


def _serve(
    worker_class: type[_Worker], index: int, pipe: Connection, barriers: dict[int, Any]
) -> None:
    """What a worker process does: answers tasks until the pipe ends."""
    # Ctrl-C reaches the whole group; the benchmark's own process decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = worker_class(index, barriers)
    while True:
        try:
            task, argument = pipe.recv()
        except (EOFError, ConnectionResetError):
            return  # reset: with an answer on the way that nobody had read
        try:
            reply = (_DONE, getattr(worker, task)(argument))
        except BrokenBarrierError:
            reply = (_WAITED, "a process did not come to where all start together")
        except Exception as error:
            reply = (_FAILED, f"{type(error).__name__}: {error}")
        try:
            # Before the others stop waiting, so that theirs is not the first message.
            pipe.send(reply)
        except OSError:
            return  # nobody is there any more
        if reply[0] == _FAILED:
            worker.give_up()


class _Worker:
    def __init__(self, index: int, barriers: dict[int, Any]) -> None:
        self._index = index
        self._barriers = barriers
        self._methods: list[Method] = []
        self._operations: list[Operation] = []
        self._shape: tuple[float, int] | None = None

    def prepare(self, case: Case) -> None:
        self._case = case
        self._barrier = self._barriers[case.processes]
        # The same in all processes; and no method always comes after the same other one.
        self._order = random.Random(case.seed)
        if self._shape != (case.model_mb, case.layers):
            self._new_model(case)
        self._methods = [method for name in case.methods for method in self._make(name)]
        self._operations = [op for method in self._methods for op in method.operations()]
        for operation in self._operations:
            self._blank()
            self._do(operation, check=True)

    def repeat(self, rounds: int) -> list[Measured]:
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
        self._operations = []
        for method in self._methods:
            method.close()
        self._methods = []

    def give_up(self) -> None:
        for barrier in self._barriers.values():
            barrier.abort()

    def _do(self, operation: Operation, check: bool = False) -> tuple[float, float]:
        operation.before()
        self._barrier.wait(_BARRIER_SECONDS)
        start = time.perf_counter()
        result = operation.run()
        end = time.perf_counter()
        if check:
            expected = self._model.arrays(operation.part)
            if not same_bytes(operation.arrays(result), expected):
                raise BenchmarkError(
                    f"{operation.method} ({operation.how}, {operation.part}) does not give back "
                    "the bytes that were written; leave it out of --methods and report this"
                )
        del result  # what was read is freed when the clock has stopped
        operation.after()
        return start, end

    def _blank(self) -> None:
        """Makes sure that what an earlier read delivered is not taken for the next one's."""
        for array in flat(self._out):
            array.fill(-1.0)

    def _new_model(self, case: Case) -> None:
        self._shape = None
        self._keras_model: Any = None
        self._model: BenchModel = make_model(case.model_mb, case.layers, case.seed + self._index)
        self._out: LayerWeights = destination(self._model)
        if "hdf5" in case.methods:
            self._keras_model = _keras_model(self._model)
        self._shape = (case.model_mb, case.layers)

    def _make(self, name: str) -> list[Method]:
        if name == "store":
            return [self._embedded(checksums) for checksums in (True, False)]
        if name == "memcpy":
            return [Memcpy(self._model, self._out)]
        if name == "redis":
            assert self._case.redis_socket is not None
            return [Redis(self._model, self._case.redis_socket, self._index)]
        folder = self._case.folder / f"{name}-{self._index}"
        folder.mkdir()
        if name == "plain":
            return [PlainFile(self._model, self._out, folder)]
        if name == "safetensors":
            return [Safetensors(self._model, self._out, folder)]
        return [KerasHdf5(self._model, self._out, folder, self._keras_model)]

    def _embedded(self, checksums: bool) -> Method:
        # One store for all processes, as a node has one.
        folder = self._case.folder / ("store" if checksums else "store-unchecked")
        return Embedded(self._model, self._out, folder, self._index, checksums)


def _keras_model(model: BenchModel) -> Any:
    """Builds the Keras model, with weights in the memory of the host."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # only to spare us a line about it
    configure_threads()
    keras_model = model.graph.to_keras()
    for name, arrays in model.weights.items():
        keras_model.get_layer(name).set_weights(arrays)
    return keras_model
