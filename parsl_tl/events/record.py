"""Reading a record: the spans of all processes, from files that these wrote or are writing."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parsl_tl.errors import AnalysisError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Process:
    """A process that recorded spans.

    Attributes:
        host: its node.
        clock: which clock it has: the same for all processes that see the same one.
        pid: its number on the node.
        role: ``driver``, ``worker`` or ``server``.
        name: what tells it from others of its role: a worker's place in its pool, a store's folder.
    """

    host: str
    clock: str
    pid: int
    role: str
    name: str


@dataclass(slots=True)
class RecordedSpan:
    """What a process did from a start to an end.

    Attributes:
        key: trace and span, unique in a record.
        parent: key of the span that it is a part of, or None.
        name: what was done.
        start: nanoseconds since 1970 by the clock of the process.
        end: when it ended.
        attributes: more of it.
        error: why it came to nothing; None if it did not.
        process: that did it.
    """

    key: str
    parent: str | None
    name: str
    start: int
    end: int
    attributes: dict[str, Any]
    error: str | None
    process: Process


@dataclass
class Record:
    """The spans of one or several folders.

    Attributes:
        spans: by key, in no order.
        files: how many files they come from.
        torn: lines that are none: who writes is killed, or has not come to the end of the line.
    """

    spans: dict[str, RecordedSpan] = field(default_factory=dict)
    files: int = 0
    torn: int = 0

    def parent_of(self, span: RecordedSpan) -> RecordedSpan | None:
        """Returns the span that another is a part of, if it was recorded."""
        return None if span.parent is None else self.spans.get(span.parent)


def read_record(folders: Iterable[str | os.PathLike[str]]) -> Record:
    """Reads all files of folders.

    Args:
        folders: of the record: that of a run, and those of servers that recorded elsewhere.

    Raises:
        AnalysisError: a folder is not there, or nothing was recorded in any.
    """
    record = Record()
    paths = [Path(folder) for folder in folders]
    for folder in paths:
        if not folder.is_dir():
            raise AnalysisError(
                f"{folder} is not there: nothing was recorded; search with --trace "
                "(Campaign(trace=True)), or name the folder of --trace of a server"
            )
        for path in sorted(folder.glob("*.jsonl")):
            record.files += 1
            _read_file(path, record)
    if not record.spans:
        names = ", ".join(map(str, paths))
        raise AnalysisError(f"{names}: no span has ended yet, in {record.files} files")
    return record


def _read_file(path: Path, record: Record) -> None:
    processes: dict[str, Process] = {}
    with path.open("rb") as file:
        for line in file:
            try:
                spans = list(_spans_of(json.loads(line), processes))
            except (ValueError, KeyError, TypeError, AttributeError):
                record.torn += 1
                continue
            for span in spans:
                record.spans[span.key] = span


def _spans_of(entry: Mapping[str, Any], processes: dict[str, Process]) -> Iterator[RecordedSpan]:
    # Exporters write a request, or each resource's spans by themselves.
    for of_resource in entry.get("resourceSpans", [entry]):
        resource = of_resource["resource"]
        text = json.dumps(resource, sort_keys=True)
        if text not in processes:
            processes[text] = _process(_attributes(resource.get("attributes", ())))
        for scope in of_resource["scopeSpans"]:
            for span in scope["spans"]:
                yield _span(span, processes[text])


def _process(facts: Mapping[str, Any]) -> Process:
    host = str(facts.get("host.name", "unknown host"))
    pid = int(facts.get("process.pid", 0))
    role = str(facts.get("role", "process"))
    name = str(facts.get("worker") or facts.get("store") or pid)
    return Process(host, str(facts.get("host.id", host)), pid, role, name)


def _span(span: Mapping[str, Any], process: Process) -> RecordedSpan:
    trace, parent = span["traceId"], span.get("parentSpanId")
    status = span.get("status") or {}
    failed = status.get("code") in (2, "STATUS_CODE_ERROR")
    return RecordedSpan(
        key=f"{trace}:{span['spanId']}",
        parent=f"{trace}:{parent}" if parent else None,
        name=str(span["name"]),
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        attributes=_attributes(span.get("attributes", ())),
        error=str(status.get("message") or "failed") if failed else None,
        process=process,
    )


_READ = {"stringValue": str, "intValue": int, "doubleValue": float, "boolValue": bool}


def _attributes(given: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        str(one["key"]): _READ[kind](value)
        for one in given
        for kind, value in one["value"].items()
        if kind in _READ
    }
