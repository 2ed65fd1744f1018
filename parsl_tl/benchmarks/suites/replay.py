"""Architectures that a search went through, stored and asked for again from many tasks."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from parsl_tl.benchmarks.core.meeting import Participant
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.room import temporary_folder
from parsl_tl.benchmarks.core.servers import serving
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, in_steps, silent
from parsl_tl.benchmarks.core.task_runner import Where, reasons_in, task_runner
from parsl_tl.errors import ArchitectureError, InvalidValueError
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.reporting.tables import percentiles

OPERATIONS: Final = ("query", "read", "store")
_FLOAT_BYTES: Final = 4


class ReplayCase(NamedTuple):
    """What tasks do: the traces, the store, how many tasks, bytes of a layer, and the run's id."""

    files: tuple[Path, ...]
    store: str
    ranks: int
    layer_bytes: int
    run: str


class ReplayRow(NamedTuple):
    """One operation of one architecture."""

    rank: int
    line: int  # of all files together, from 0
    operation: str
    seconds: float
    layers: int  # that the architecture has
    matched: int  # that a stored one shares with it
    bytes: int  # read or stored


@dataclass(frozen=True)
class ReplaySuite(Suite):
    """Traces, split among so many tasks, against servers."""

    name = "replay"
    label = "replay"
    text = "traces of searches against a store's servers, from many tasks"
    title = "Replayed traces"
    has_tasks = True
    description = (
        "Reads architectures from files, one JSON object a line (model.to_json(), or a bare\n"
        "get_config()), and does with each what an evaluation does with the store: asks for the\n"
        "model with the longest common prefix, reads its weights, and stores the rest. Lines are\n"
        "dealt out to the tasks in turn. Weights have the sizes of the layers, where files tell\n"
        "these. At the end, what was stored is retired again."
    )
    examples = (
        "traces/ --ranks 4",
        "traces/ --ranks 64 --config polaris --store cluster:runs/a/cluster --out bench/replay-64",
    )

    traces: Path = option(Path(), "folder of .json and .jsonl files, or one of them", flag="TRACES")
    store: str | None = option(
        None, "addresses of the store's servers (they are started here)", metavar="URI"
    )
    servers: int = option(1, "that are started without --store", least=1, most=64)
    ranks: tuple[int, ...] = option((1, 2), "tasks at once; each number is measured", least=1)
    layer_bytes: int = option(
        100_000, "of layers whose size the files do not tell", least=_FLOAT_BYTES
    )
    limit: int | None = option(None, "architectures at most", least=1)
    where: Where = nested(Where(), "where it runs: without Parsl, on this machine")

    def check(self) -> Self:
        """Refuses traces that are not there."""
        trace_files(self.traces)
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``replay``, of each operation, and ``replay_latency``, of all of a kind."""
        tables: Tables = {"replay": [], "replay_latency": []}
        files, steps = trace_files(self.traces), [(f"{ranks} tasks", ranks) for ranks in self.ranks]
        with (
            served(self.store, self.servers) as uri,
            task_runner(self.where, max(self.ranks)) as runner,
        ):
            for ranks in in_steps(progress, steps):
                case = ReplayCase(files, uri, ranks, self.layer_bytes, secrets.token_hex(8))
                at_once = (ranks, self.where.timeout)
                results, seconds = runner.together(*at_once, replay, case, self.limit)
                found, reasons = reasons_in(results)
                rows = [row for own in found for row in own]
                tables["replay"] += [{"ranks": ranks, **row._asdict()} for row in rows]
                found = operation_rows(rows, reasons, seconds)
                tables["replay_latency"] += [{"ranks": ranks, **row} for row in found]
        return tables

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns rates and latencies by operation and number of tasks."""
        shown = frames["replay_latency"].drop(columns="failure")
        shown[["p50", "p99", "max"]] = (shown[["p50", "p99", "max"]].astype(float) * 1e3).round(3)
        names = {"p50": "p50, ms", "p99": "p99, ms", "max": "max, ms", "per_sec": "per second"}
        return [("Operations of all tasks together", shown.rename(columns=names).round(2))]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns rates, and latencies, by number of tasks."""
        rows, found = frames["replay_latency"].query("count > 0"), []
        for name, column, label in (
            ("rates", "per_sec", "operations per second, all tasks"),
            ("latencies", "p99", "seconds, 99th percentile"),
        ):
            table = rows.pivot(index="ranks", columns="operation", values=column)
            found.append(Plot(f"replay_{name}", "", table, label, "line", "xy", "tasks at once"))
        return found

    def failures(self, frames: Frames) -> list[str]:
        """Returns why tasks failed."""
        return sorted({*frames["replay_latency"].failure} - {""})


@contextlib.contextmanager
def served(store: str | None, servers: int) -> Iterator[str]:
    """Gives the addresses of a store, or starts so many servers of an empty one."""
    if store is not None:
        yield store
        return
    with (
        temporary_folder(None) as folder,
        serving("grpc+tcp://127.0.0.1:0", folder, servers) as started,
    ):
        yield " ".join(started.uris)


def trace_files(place: Path) -> tuple[Path, ...]:
    """Returns the files of traces, in the order of their names.

    Raises:
        InvalidValueError: there is none.
    """
    place = place.expanduser().absolute()
    found = (place,) if place.is_file() else tuple(sorted(place.glob("*.json*")))
    if not found:
        raise InvalidValueError(
            f"there are no traces in {place}: name a folder of .json or .jsonl files with one "
            "architecture per line, such as one that parsl-tl generate wrote"
        )
    return found


def replay(participant: Participant, case: ReplayCase, limit: int | None) -> list[ReplayRow]:
    """Replays every line whose turn it is; all tasks start together when they have read theirs.

    Raises:
        ArchitectureError: a line is no architecture.
        StoreError: the store fails.
    """
    graphs = list(_graphs(case, limit, participant.number))
    return replay_graphs(participant, case.store, case.run, case.layer_bytes, graphs)


def replay_graphs(
    participant: Participant,
    uri: str,
    run: str,
    layer_bytes: int,
    graphs: Sequence[tuple[int, Any]],
) -> list[ReplayRow]:
    """Does with a store what evaluations of numbered graphs do, and retires them at the end.

    Raises:
        StoreError: the store fails.
    """
    from parsl_tl.store import open_store

    rank, stored = participant.number, []
    rows: list[ReplayRow] = []
    with open_store(uri) as store:
        len(store)  # it is connected
        participant.wait()
        try:
            for line, graph in graphs:
                model_id = model_id_of(run, line)
                rows += _replay_one(store, layer_bytes, (rank, line), graph, model_id)
                stored.append(model_id)
            participant.done()
        finally:
            participant.leave()  # others may be about to inherit from these
            for model_id in reversed(stored):
                store.retire(model_id)
    return rows


def _replay_one(
    store: Any, layer_bytes: int, which: tuple[int, int], graph: Any, model_id: int
) -> list[ReplayRow]:
    clock = time.perf_counter
    begun = clock()
    match = store.find_donor(graph)
    asked = clock()
    donor, names = (match.model_id, match.layer_names) if match is not None else (None, [])
    weights = store.read(donor, names) if match is not None else {}
    read = clock()
    own = weights_of(graph, set(names), layer_bytes)
    made = clock()
    put = store.put(model_id, graph, own, quality=0.0, parent=donor, donor=donor)
    end = clock()
    num_read = sum(array.nbytes for arrays in weights.values() for array in arrays)
    counts = (len(graph), len(names))
    rows = [ReplayRow(*which, "query", asked - begun, *counts, 0)]
    if match is not None:
        rows.append(ReplayRow(*which, "read", read - asked, *counts, num_read))
    return [*rows, ReplayRow(*which, "store", end - made, *counts, put.bytes_stored)]


def _graphs(case: ReplayCase, limit: int | None, rank: int) -> Iterator[tuple[int, Any]]:
    from parsl_tl.architecture import ArchitectureGraph

    number = 0
    for path in case.files:
        with path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                if limit is not None and number >= limit:
                    return
                if number % case.ranks == rank:
                    try:
                        yield number, ArchitectureGraph.from_json(text.decode())
                    except (ArchitectureError, UnicodeDecodeError) as error:
                        raise ArchitectureError(f"{path}, line {line}: {error}") from error
                number += 1


def weights_of(graph: Any, shared: set[str], layer_bytes: int) -> dict[str, list[Any]]:
    """Returns weights of the right size for the layers that are not shared."""
    import numpy as np

    from parsl_tl.architecture.parameter_count import parameter_count

    found = {}
    for name, layer in zip(graph.layer_names, graph.layers, strict=True):
        count = parameter_count(layer)
        count = layer_bytes // _FLOAT_BYTES if count is None else count
        if count and not layer.is_input and name not in shared:
            found[name] = [np.ones(count, np.float32)]
    return found


def model_id_of(run: str, line: int) -> int:
    """Returns an id that no other run has."""
    digest = hashlib.blake2b(f"{run}:{line}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def operation_rows(
    rows: Sequence[ReplayRow], reasons: Sequence[str], seconds: float | None
) -> list[Row]:
    """Returns rates and latencies of each operation, of all tasks that started together."""
    found: list[Row] = []
    for operation in OPERATIONS:
        own = [row for row in rows if row.operation == operation]
        times = [row.seconds for row in own]
        row: Row = {"operation": operation, "count": len(own)}
        row["per_sec"] = len(own) / seconds if seconds else 0.0
        row |= percentiles(times) if times else {"p50": None, "p99": None}
        row |= {"max": max(times, default=None), "MB": sum(one.bytes for one in own) / 1e6}
        matched = sum(one.matched for one in own) / max(1, sum(one.layers for one in own))
        found.append({**row, "matched": matched, "failure": reasons[0] if reasons else ""})
    return found
