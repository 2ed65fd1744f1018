"""Models that processes write and read at the same time, by every format: what both suites share.

In every round all formats move the same bytes, one after the other in an order that changes, so
that drifts of the machine hit all of them. There are as many rounds as fit the time of a case.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from parsl_tl.benchmarks.core.file_cache import files_under, sync
from parsl_tl.benchmarks.core.processes import Processes, Worker
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.formats import ARRAY_FORMATS
from parsl_tl.benchmarks.formats.bench_model import flat, make_model
from parsl_tl.benchmarks.formats.file_format import same_arrays
from parsl_tl.benchmarks.formats.operation import Case, Method, Operation
from parsl_tl.errors import BenchmarkError

Span = tuple[float, float]


class Measured(NamedTuple):
    """An operation of one process, or of all, and its times; see ``Operation``.

    Attributes:
        names: of the columns that tell which operation it is, and their values.
        num_bytes: bytes that are moved.
        spans: (start, end) of each repetition, seconds of the clock that all processes share.
    """

    names: dict[str, str]
    num_bytes: int
    spans: list[Span]


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
            self._shape = None
            self._model = make_model(case.model_mb, case.layers, case.seed + self.index)
            self._out = self._model.destination()
            self._shape = (case.model_mb, case.layers)
        for name in case.methods:
            self._methods += ARRAY_FORMATS[name].make(case, self._model, self._out, self.index)
        self._operations = [op for method in self._methods for op in method.operations()]
        for operation in self._operations:
            # What an earlier read delivered must not be taken for the next one's.
            for array in flat(self._out):
                array.fill(-1.0)
            self._do(operation, check=True)

    def repeat(self, rounds: int) -> list[Measured]:
        """Does all operations ``rounds`` times, in an order that changes from round to round."""
        spans: list[list[Span]] = [[] for _ in self._operations]
        places = list(range(len(self._operations)))
        for _ in range(rounds):
            self._order.shuffle(places)
            for place in places:
                spans[place].append(self._do(self._operations[place]))
        return [
            Measured(op.names, self._model.num_bytes(op.part), own)
            for op, own in zip(self._operations, spans, strict=True)
        ]

    def clear(self, _: None) -> None:
        """Closes what the case had open; its folder can then go."""
        self._operations = []
        for method in self._methods:
            method.close()
        self._methods = []

    def _do(self, operation: Operation, check: bool = False) -> Span:
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


def measure_case(workers: Processes, case: Case, settings: Any) -> list[Measured]:
    """Measures a case; times are from the first start to the last end.

    Args:
        workers: of ``BandwidthWorker``.
        case: which.
        settings: have ``min_rounds`` and ``max_rounds``, and as many fit ``case_seconds``.
    """
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


def times_of(measured: Measured) -> Row:
    """Returns the columns of ``seconds_median`` and ``seconds_min``."""
    seconds = [end - start for start, end in measured.spans]
    return {"seconds_median": statistics.median(seconds), "seconds_min": min(seconds)}


def ratio(row: Row, rows: Sequence[Row], method: str, column: str = "seconds_median") -> Any:
    """Returns how many times as fast a row is as a method's for the same operation, or None.

    Where that has two ways to read, the one that does as the row's: into arrays, or fresh ones.
    """
    same = [
        other
        for other in rows
        if (other["method"], other["operation"], other["part"])
        == (method, row["operation"], row["part"])
    ]
    what = row["how"].rpartition(" ")[2]
    fallback = same[0] if same else None
    baseline = next((other for other in same if other["how"] == what), fallback)
    return None if baseline is None else baseline[column] / row[column]


def cells(rows: Any, ratio_column: str) -> list[str]:
    """Returns texts with GB/s, and how many times as fast that is; of untouched views the time."""
    columns = (rows.how, rows.gb_per_s, rows.seconds_median, rows[ratio_column])
    found = []
    for how, speed, seconds, share in zip(*columns, strict=True):
        if how.endswith("views"):
            found.append(f"{1e6 * seconds:,.0f} us")
        else:
            is_other = share is not None and share == share and share != 1.0
            found.append(short_speed(speed) + (f" {share:.2f}" if is_other else ""))
    return found


def short_speed(speed: float) -> str:
    """Returns a number with about three digits."""
    decimals = 0 if speed >= 99.5 else 1 if speed >= 9.95 else 2
    return f"{speed:.{decimals}f}"
