"""A run as a timeline for https://ui.perfetto.dev: who did what when, on all nodes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from parsl_tl.errors import AnalysisError
from parsl_tl.events.clocks import ClockCorrection, correct_clocks
from parsl_tl.events.record import Record, RecordedSpan, read_record
from parsl_tl.report.journal_spans import add_journal
from parsl_tl.report.trace_file import TraceFile
from parsl_tl.report.trace_lanes import lanes_of
from parsl_tl.reporting.files import prepare_file, replace_file

SUFFIX: Final = ".perfetto-trace"
"""What the names of such files end with."""

Arrow: TypeAlias = tuple[RecordedSpan, RecordedSpan]
Steps: TypeAlias = Iterator[tuple[int, int | float]]


@dataclass(frozen=True)
class TraceReport:
    """What was written.

    Attributes:
        path: of the file.
        spans: how many there are.
        processes: that recorded them.
        arrows: from the storing of donors to the transfers of their children.
        torn: lines of the record that were none.
        clocks: what was added to the times of each node, by its name.
        clocks_agree: whether the spans of different nodes fit together.
    """

    path: Path
    spans: int
    processes: int
    arrows: int
    torn: int
    clocks: dict[str, ClockCorrection]
    clocks_agree: bool


def write_trace(
    folders: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
) -> TraceReport:
    """Merges the record of all processes, corrects their clocks, and writes the timeline.

    Args:
        folders: of recorded spans; none for a run that was not traced.
        out: the file.
        run: folder of a run, for what its journal has besides.

    Raises:
        AnalysisError: nothing was recorded, the file cannot be written, or the package that knows
            its format is not installed.
    """
    path = prepare_file(Path(out), (SUFFIX,), "-o")
    record = read_record(folders) if folders else Record()
    if run is not None:
        add_journal(record, run)
    if not record.spans:
        raise AnalysisError(
            f"{run} has no journal of a search, none in which an evaluation has ended, or one of "
            "an earlier release, which recorded nothing without --trace"
        )
    corrections, agree = correct_clocks(record)
    arrows = arrows_of(record)
    replace_file(path, lambda partial: _write(record, arrows, partial))
    processes = {span.process for span in record.spans.values()}
    return TraceReport(
        path=path,
        spans=len(record.spans),
        processes=len(processes),
        arrows=len(arrows),
        torn=record.torn,
        clocks={one.host: corrections[one.clock] for one in processes},
        clocks_agree=agree,
    )


def _write(record: Record, arrows: list[Arrow], path: Path) -> None:
    starts: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for number, (stored, transfer) in enumerate(arrows, start=1):
        starts.setdefault(stored.key, []).append(number)
        ends.setdefault(transfer.key, []).append(number)
    with path.open("wb") as file:
        timeline = TraceFile(file)
        timeline.add_counter("busy workers", "", busy_workers(record))
        timeline.add_counter("stored", "bytes", bytes_stored(record))
        timeline.add_counter("best objective", "", best_objective(record))
        for lane in lanes_of(record):
            timeline.add_lane(lane, starts, ends)


def arrows_of(record: Record) -> list[Arrow]:
    """Returns pairs of spans: a donor is stored, and a child takes over its weights."""
    stored: dict[str, RecordedSpan] = {}
    # The step of the evaluation; of a model store, the call within it.
    for name in ("store", "store.put"):
        for span in record.spans.values():
            if span.name == name and span.error is None and "model_id" in span.attributes:
                stored[span.attributes["model_id"]] = span
    return [
        (stored[donor], span)
        for span in record.spans.values()
        if span.name == "transfer"
        and (donor := span.attributes.get("donor")) in stored
        and stored[donor].start <= span.start
    ]


def busy_workers(record: Record) -> Steps:
    """Yields how many workers had a task."""
    changes: list[tuple[int, int | float]] = []
    for span in record.spans.values():
        if span.name == "run" and span.process.role == "worker":
            changes += [(span.start, 1), (span.end, -1)]
    yield from _sums(changes)


def bytes_stored(record: Record) -> Steps:
    """Yields how many bytes of weights the search had in its store."""
    signs = {"store.put": 1, "store.retire": -1}
    yield from _sums(
        (span.end, signs[span.name] * span.attributes.get("bytes", 0))
        for span in record.spans.values()
        if span.name in signs and span.error is None
    )


def best_objective(record: Record) -> Steps:
    """Yields the best objective that the driver knew."""
    best = -math.inf
    ends = (
        (span.end, span.attributes["objective"])
        for span in record.spans.values()
        if span.name == "evaluation" and "objective" in span.attributes
    )
    for when, objective in sorted(ends):
        if objective > best:
            best = objective
            yield when, best


def _sums(changes: Iterable[tuple[int, int | float]]) -> Steps:
    total: int | float = 0
    for when, change in sorted(changes):
        if change:
            total += change
            yield when, total
