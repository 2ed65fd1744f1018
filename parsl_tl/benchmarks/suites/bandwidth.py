"""Models that processes write and read at the same time, by every format: what two suites share.

In every round all formats move the same bytes, one after the other in an order that changes, so
that drifts of the machine hit all of them. There are as many rounds as fit the time of a case.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from parsl_tl.benchmarks.core.file_cache import files_under, sync
from parsl_tl.benchmarks.core.processes import Processes, Team
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.formats import methods_of
from parsl_tl.benchmarks.formats.bench_model import BenchModel, LayerWeights, flat, make_model
from parsl_tl.benchmarks.formats.file_format import same_arrays
from parsl_tl.benchmarks.formats.method import Case, Operation
from parsl_tl.errors import BenchmarkError

# Start and end, seconds of the clock that all processes share.
Span = tuple[float, float]


class Moved(NamedTuple):
    """What one process moved by an operation: columns that name it, bytes, and each repetition."""

    names: Row
    num_bytes: int
    spans: list[Span]


def measure_case(processes: Processes, case: Case, settings: Any) -> list[Row]:
    """Measures a case: at least ``min_rounds``, at most ``max_rounds``, that fit ``case_seconds``.

    Returns:
        A row per operation, with ``bytes`` of all processes together, and times from the first
        start to the last end: ``seconds_median``, ``seconds_min`` and ``repeats``.
    """
    limits = (settings.min_rounds, settings.max_rounds, settings.case_seconds)
    rows = []
    for same in zip(*processes.run(case.processes, move_models, case, *limits), strict=True):
        seconds = [seconds_of(own) for own in zip(*(one.spans for one in same), strict=True)]
        row = {**same[0].names, "bytes": sum(one.num_bytes for one in same)}
        row |= {"seconds_median": statistics.median(seconds), "seconds_min": min(seconds)}
        rows.append({**row, "repeats": len(seconds)})
    return rows


def seconds_of(spans: Sequence[Span]) -> float:
    """Returns the seconds from the first start to the last end."""
    return max(end for _, end in spans) - min(start for start, _ in spans)


def move_models(team: Team, case: Case, least: int, most: int, seconds: float) -> list[Moved]:
    """Does every operation of a case once, comparing bytes, and then round by round.

    Raises:
        BenchmarkError: a format gave other bytes than were written.
    """
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
        for path in files_under(case.folder):
            sync(path)
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
    found = []
    for one, own in zip(operations, spans, strict=True):
        names = {name: getattr(one, name) for name in ("method", "operation", "part", "how")}
        found.append(Moved(names, model.num_bytes(one.part), own))
    return found


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
