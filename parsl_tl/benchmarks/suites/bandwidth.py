"""Models that processes write and read at the same time, by every format: what two suites share.

In every round all formats move the same bytes, one after the other in an order that changes, so
that drifts of the machine hit all of them. There are as many rounds as fit the time of a case.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from parsl_tl.benchmarks.core import room
from parsl_tl.benchmarks.core.meeting import Team
from parsl_tl.benchmarks.core.servers import RedisServer
from parsl_tl.benchmarks.core.suite import Row, Suite
from parsl_tl.benchmarks.core.task_runner import LONGEST_SECONDS, TaskRunner, Where, task_runner
from parsl_tl.benchmarks.formats import methods_of
from parsl_tl.benchmarks.formats.bench_model import BenchModel, LayerWeights, flat, make_model
from parsl_tl.benchmarks.formats.file_format import same_arrays
from parsl_tl.benchmarks.formats.method import Case, Operation
from parsl_tl.errors import BenchmarkError

Span = tuple[float, float]  # start and end, in seconds of the clock that all processes share
NAMES: Final = ("method", "operation", "part", "how")


class Moved(NamedTuple):
    """What one process moved by an operation: columns that name it, bytes, and each repetition."""

    names: Row
    num_bytes: int
    spans: list[Span]


@dataclass(frozen=True)
class BandwidthSuite(Suite):
    """Cases of formats that move models; at least so many rounds, at most as many as fit a time."""

    min_rounds: int = 5
    max_rounds: int = 31
    case_seconds: float = 4.0

    @contextlib.contextmanager
    def running(
        self, at_once: int, methods: Sequence[str]
    ) -> Iterator[tuple[TaskRunner, str | None]]:
        """Starts processes, and a Redis server if it takes part, of which this gives the socket."""
        with contextlib.ExitStack() as stack:
            socket = stack.enter_context(RedisServer()).socket if "redis" in methods else None
            where = Where(timeout=LONGEST_SECONDS)
            yield stack.enter_context(task_runner(where, at_once)), socket

    def measure_case(self, runner: TaskRunner, case: Case) -> list[Row]:
        """Returns a row per operation: bytes of all processes, times from first start to last end.

        Raises:
            BenchmarkError: a format gave other bytes than were written.
        """
        limits = (self.min_rounds, self.max_rounds, self.case_seconds)
        rows = []
        for same in zip(*runner.team(case.processes, move_models, case, *limits), strict=True):
            seconds = [seconds_of(own) for own in zip(*(one.spans for one in same), strict=True)]
            row = {**same[0].names, "bytes": sum(one.num_bytes for one in same)}
            row |= {"seconds_median": statistics.median(seconds), "seconds_min": min(seconds)}
            rows.append({**row, "repeats": len(seconds)})
        return rows


def seconds_of(spans: Sequence[Span]) -> float:
    """Returns the seconds from the first start to the last end."""
    return max(end for _, end in spans) - min(start for start, _ in spans)


def move_models(team: Team, case: Case, least: int, most: int, seconds: float) -> list[Moved]:
    """Does every operation of a case once, comparing bytes, and then round by round."""
    model, out = _model(case.model_mb, case.layers, case.seed + team.index)
    kinds = methods_of("remote" if case.scheme else "store")
    given = (case, model, out, team.index)
    methods = [kind(*given) for name in case.methods for kind in kinds[name]]
    operations = [operation for method in methods for operation in method.operations()]
    for operation in operations:
        # What an earlier read delivered must not be taken for the next one's.
        for array in flat(out):
            array.fill(-1.0)
        _time(team, operation, model)
    team.meet()
    if team.index == 0:
        # Otherwise the kernel writes files to read while others are written, and holds up those.
        for path in room.files_under(case.folder):
            room.sync(path)
    team.meet()
    spans: list[list[Span]] = [[] for _ in operations]
    places = list(range(len(operations)))
    # The same in all processes; and no format always comes after the same other one.
    order = random.Random(case.seed)

    def repeat(rounds: int) -> None:
        for _ in range(rounds):
            order.shuffle(places)
            for place in places:
                spans[place].append(_time(team, operations[place]))

    start = time.perf_counter()
    repeat(least)
    fitting = int(seconds * least / (time.perf_counter() - start))
    repeat(team.agree(min(most, fitting) - least))
    for method in methods:
        method.close()
    return [
        Moved({name: getattr(one, name) for name in NAMES}, model.num_bytes(one.part), own)
        for one, own in zip(operations, spans, strict=True)
    ]


@lru_cache(maxsize=1)
def _model(model_mb: float, layers: int, seed: int) -> tuple[BenchModel, LayerWeights]:
    model = make_model(model_mb, layers, seed)
    return model, model.destination()


def _time(team: Team, operation: Operation, model: BenchModel | None = None) -> Span:
    """Does an operation at the same time as the others; with a model, compares its arrays."""
    operation.before()
    team.meet()
    start = time.perf_counter()
    result = operation.run()
    end = time.perf_counter()
    if model is not None and operation.arrays is not None:
        expected = model.arrays(operation.part)
        if not same_arrays(operation.arrays(result), expected):
            raise BenchmarkError(
                f"{operation.method} ({operation.how}, {operation.part}) does not give back "
                "the bytes that were written; leave it out of --methods and report this"
            )
    del result  # what was read is freed when the clock has stopped
    operation.after()
    return start, end


def ratio(row: Row, rows: Sequence[Row], method: str, column: str = "seconds_median") -> Any:
    """Returns how many times as fast a row is as a method's for the same operation, or None.

    Where that has two ways to read, the one that does as the row's: into arrays, or fresh ones.
    """
    wanted = (method, row["operation"], row["part"])
    same = [one for one in rows if (one["method"], one["operation"], one["part"]) == wanted]
    what = row["how"].rpartition(" ")[2]
    baseline = next((one for one in same if one["how"] == what), same[0] if same else None)
    return None if baseline is None else baseline[column] / row[column]


def cells(rows: Any, ratio_column: str) -> list[str]:
    """Returns texts with GB/s, and how many times as fast that is; of untouched views the time."""
    columns = (rows.how, rows.gb_per_s, rows.seconds_median, rows[ratio_column])
    found = []
    for how, speed, seconds, share in zip(*columns, strict=True):
        is_other = share is not None and share == share and share != 1.0
        text = short_speed(speed) + (f" {share:.2f}" if is_other else "")
        found.append(f"{1e6 * seconds:,.0f} us" if how.endswith("views") else text)
    return found


def short_speed(speed: float) -> str:
    """Returns a number with about three digits."""
    return f"{speed:.{0 if speed >= 99.5 else 1 if speed >= 9.95 else 2}f}"
