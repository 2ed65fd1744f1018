"""Loads a population on all ranks, asks it, and measures both; a walk of all graphs beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import GraphMetaError
from parsl_tl.graph_meta.cache import BestGraphs, GraphCache
from parsl_tl.graph_meta.exchange import Ticket
from parsl_tl.graph_meta.file_slices import FileSlice, plan
from parsl_tl.graph_meta.graph_batch import GraphBatch
from parsl_tl.graph_meta.queries import QuerySample
from parsl_tl.graph_meta.readers import read_slice
from parsl_tl.graph_meta.report import Report, query_row
from parsl_tl.graph_meta.walk import WalkPartition

Progress = Callable[[float, str], None]
Ask = Callable[[GraphBatch], BestGraphs]
# Batches that are on their way to their ranks while the next ones are read.
_UNDER_WAY: Final = 8


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        files: of the population; their order numbers the models.
        queries: how many, over all ranks.
        walk_queries: how many of them are walked; 0 for none.
        batch: queries in one message, where they go in batches.
        seed: of the queries.
        max_models: leaves out the models from this number on.
    """

    files: tuple[Path, ...]
    queries: int = 1000
    walk_queries: int = 100
    batch: int = 100
    seed: int = 0
    max_models: int | None = None


def run_bench(settings: Settings, comm: Any, progress: Progress) -> Report | None:
    """Runs everything; a collective call.

    An error is raised on the rank where it happened only; the others wait for it.

    Args:
        settings: the same on all ranks.
        comm: an mpi4py communicator.
        progress: called on every rank with the share of the work that is done, and what comes.

    Returns:
        On rank 0 what was measured, elsewhere None.

    Raises:
        ArchitectureError: a line is no model's; the message names it.
        GraphMetaError: a file cannot be read, or there is no model.
    """
    progress(0.0, "count models")
    slices, total = plan(settings.files, comm, settings.max_models)
    if total == 0:
        if comm.Get_rank() != 0:
            return None  # one rank tells it for all
        raise GraphMetaError(
            f"there is no model in {', '.join(map(str, settings.files))}; name other files"
        )
    cache = GraphCache(comm)
    walk = WalkPartition(cache) if settings.walk_queries else None
    sample = QuerySample(settings.queries, total, settings.seed, slices)
    report = Report(comm)
    report.add_loading(slices, _load(cache, walk, slices, sample, progress))
    numbers, models = sample.queries()

    progress(0.6, "one rank asks")
    alone, _ = _ask_alone(cache, models, _index(cache))
    report.add_queries(query_row("index", "one rank", 1), alone)
    progress(0.65, "all ranks ask")
    latencies, seconds, answers = _ask_all(cache, models, 1, _index(cache))
    report.add_queries(query_row("index", "all ranks", 1), latencies, seconds, len(numbers))
    progress(0.7, "all ranks ask in batches")
    size = min(settings.batch, settings.queries)
    latencies, seconds, _ = _ask_all(cache, models, size, _index(cache))
    report.add_queries(query_row("index", "all ranks", size), latencies, seconds, len(numbers))
    if walk is not None:
        progress(0.75, "walks")
        _measure_walk(cache, walk, report, settings, (numbers, models, answers))
    report.add_answers(numbers, models.ids, answers)
    progress(1.0, "done")
    cache.close()
    return report if comm.Get_rank() == 0 else None


def _measure_walk(
    cache: GraphCache,
    walk: WalkPartition,
    report: Report,
    settings: Settings,
    asked: tuple[NDArray[np.int64], GraphBatch, BestGraphs],
) -> None:
    """Asks some of the queries again by walking; both have to give the same answers."""
    numbers, models, answers = asked
    rows = np.flatnonzero(numbers < settings.walk_queries)
    walked = models.take(rows)
    walk.build()
    cache.serve()
    alone, _ = _ask_alone(cache, walked, walk.best_of)
    report.add_queries(query_row("walk", "one rank", 1), alone)
    latencies, seconds, found = _ask_all(cache, walked, 1, walk.best_of)
    report.add_queries(query_row("walk", "all ranks", 1), latencies, seconds, len(rows))
    same = (found.ids == answers.ids[rows]) & (found.lengths == answers.lengths[rows])
    report.add_agreement(int(same.sum()), len(rows))


def _load(
    cache: GraphCache,
    walk: WalkPartition | None,
    slices: Sequence[FileSlice],
    sample: QuerySample,
    progress: Progress,
) -> float:
    """Reads this rank's slices and sends every graph to its rank; returns seconds for all."""
    cache.serve()
    start = time.perf_counter()
    mine = max(1, sum(file_slice.num_models for file_slice in slices))
    done = 0
    under_way: list[list[Ticket]] = []
    for file_slice in slices:
        for batch in read_slice(file_slice):
            sample.collect(batch)
            tickets = cache.store_keys(batch.ids, batch.layer_starts, batch.keys, batch.qualities)
            if walk is not None:
                tickets += walk.send(batch)
            under_way.append(tickets)
            if len(under_way) > _UNDER_WAY:
                cache.wait_stored(under_way.pop(0))
            cache.progress()
            done += len(batch)
            progress(0.6 * done / mine, "load")
    for tickets in under_way:
        cache.wait_stored(tickets)
    cache.serve()
    return time.perf_counter() - start


def _index(cache: GraphCache) -> Ask:
    return lambda models: cache.best_of(models.layer_starts, models.keys)


def _ask_alone(cache: GraphCache, models: GraphBatch, ask: Ask) -> tuple[list[float], float]:
    """Lets rank 0 ask its queries while the others serve; elsewhere the result is empty."""
    cache.serve()
    start = time.perf_counter()
    latencies = _ask(models, 1, ask)[0] if cache.rank == 0 else []
    cache.serve()
    return latencies, time.perf_counter() - start


def _ask_all(
    cache: GraphCache, models: GraphBatch, size: int, ask: Ask
) -> tuple[list[float], float, BestGraphs]:
    """Lets all ranks ask at once; returns latencies, seconds until all are done, and answers."""
    cache.serve()
    start = time.perf_counter()
    latencies, found = _ask(models, size, ask)
    cache.serve()
    return latencies, time.perf_counter() - start, found


def _ask(models: GraphBatch, size: int, ask: Ask) -> tuple[list[float], BestGraphs]:
    pieces = [
        models.take(np.arange(start, min(start + size, len(models))))
        for start in range(0, len(models), size)
    ]
    latencies, found = [], []
    for piece in pieces:
        start = time.perf_counter()
        found.append(ask(piece))
        latencies.append(time.perf_counter() - start)
    columns = zip(*found, strict=True) if found else [[], [], []]
    types = (np.uint64, np.int64, np.float64)
    joined = [
        np.concatenate([np.empty(0, dtype), *column])
        for column, dtype in zip(columns, types, strict=True)
    ]
    return latencies, BestGraphs(*joined)
