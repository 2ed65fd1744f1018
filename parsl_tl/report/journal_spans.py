"""The evaluations and blocks of a run's journal as spans, where nobody recorded finer ones."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parsl_tl.events.record import Process, Record, RecordedSpan
from parsl_tl.report.run import FINAL_STATES
from parsl_tl.search.journal import read_whole_lines
from parsl_tl.store.model_id import format_model_id


def add_journal(record: Record, folder: str | os.PathLike[str]) -> None:
    """Adds what the journal of a run tells, and the record of spans does not.

    Args:
        record: to add to.
        folder: of the run.

    Raises:
        CampaignError: a line of the journal is damaged.
    """
    path = Path(folder) / "journal.jsonl"
    lines = read_whole_lines(path)[0] if path.is_file() else []
    known = {key.partition(":")[0] for key in record.spans}
    has_blocks = any(span.name == "block" for span in record.spans.values())
    driver = _driver(record, Path(folder))
    record.files += bool(lines)
    spans = itertools.chain(
        (
            span
            for line in lines
            if line["event"] == "finished" and line.get("trace", "") not in known | {""}
            for span in _evaluation(line, driver)
        ),
        () if has_blocks else _blocks(lines, driver),
    )
    record.spans.update((span.key, span) for span in spans)


def _driver(record: Record, folder: Path) -> Process:
    known = [one.process for one in record.spans.values() if one.process.role == "driver"]
    if known:
        return known[0]
    machine = folder / "machine.json"
    facts = json.loads(machine.read_text()) if machine.is_file() else {}
    host = str(facts.get("host", "unknown host"))
    return Process(host, host, 0, "driver", folder.name)


def _evaluation(line: Mapping[str, Any], driver: Process) -> Iterator[RecordedSpan]:
    """Yields an evaluation, its stages in the driver, and its steps in its worker."""
    told, trace, stages, end = line["metadata"], line["trace"], line["stages"], line["time_ns"]
    objective = line["objective"]
    attributes: dict[str, Any] = {
        "job": line["config"]["job"],
        "model_id": format_model_id(line["config"]["model_id"]),
    }
    failed = {"failed" if isinstance(objective, str) else "objective": objective}
    whole = f"{trace}:0"
    yield RecordedSpan(
        whole, None, "evaluation", stages[0][1], end, {**attributes, **failed}, None, driver
    )
    ends = [*(begin for _, begin, *_ in stages[1:]), end]
    last_task = whole
    for number, ((name, begin, *more), until) in enumerate(zip(stages, ends, strict=True), 1):
        said = dict(more[0]) if more else {}
        lost = said.pop("lost", None)
        key = f"{trace}:{number}"
        last_task = key if name == "task" else last_task
        yield RecordedSpan(key, whole, name, begin, until, said, lost, driver)
    if not told.get("started_ns") or not told.get("steps"):
        return
    if told.get("donor") is not None:
        attributes["donor"] = format_model_id(told["donor"])
    yield from _steps(told, attributes, trace, last_task, _worker(told))


def _steps(
    told: Mapping[str, Any], said: dict[str, Any], trace: str, parent: str, worker: Process
) -> Iterator[RecordedSpan]:
    started, ended = told["started_ns"], told["ended_ns"]
    run = f"{trace}:run"
    yield RecordedSpan(run, parent, "run", started, ended, said, told.get("error"), worker)
    ends = [*(begin for _, begin in told["steps"][1:]), ended - started]
    for number, ((name, begin), end) in enumerate(zip(told["steps"], ends, strict=True)):
        key = f"{trace}:run.{number}"
        more = said if name in ("transfer", "store") else {}
        yield RecordedSpan(key, run, name, started + begin, started + end, more, None, worker)


def _worker(told: Mapping[str, Any]) -> Process:
    host, _, pid = str(told["worker"]).rpartition(":")
    block, _, slot = str(told.get("slot") or "").split("/") if told.get("slot") else ("", "", "")
    name = f"block {block} worker {slot}" if slot else pid
    return Process(host, host, int(pid), "worker", name)


def _blocks(lines: Sequence[Mapping[str, Any]], driver: Process) -> Iterator[RecordedSpan]:
    """Yields each block with its states; what has not ended lasts to the last line."""
    states: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for line in lines:
        if line["event"] == "block":
            told = states.setdefault((line["site"], line["block"]), [])
            told.append((line["state"], line["time_ns"]))
    for number, ((site, block), told) in enumerate(states.items()):
        is_over = told[-1][0] in FINAL_STATES
        end = told[-1][1] if is_over else max(lines[-1].get("time_ns", 0), told[-1][1])
        whole = f"block:{number}"
        said = {"block": block, "site": site}
        yield RecordedSpan(whole, None, "block", told[0][1], end, said, None, driver)
        ends = [*(begin for _, begin in told[1:]), end]
        for place, ((state, begin), until) in enumerate(zip(told, ends, strict=True)):
            yield RecordedSpan(f"{whole}.{place}", whole, state, begin, until, {}, None, driver)
