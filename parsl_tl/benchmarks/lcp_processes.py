"""How much memory several processes of a node need that ask one store."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from parsl_tl.benchmarks.core.memory import proportional_bytes
from parsl_tl.benchmarks.lcp_methods import Queries, ask_store, put_catalog, store_arguments
from parsl_tl.errors import BenchmarkError
from parsl_tl.store.embedded import EmbeddedStore

# Longer than any step; a process that was killed does not hold up the others for ever.
_BARRIER_SECONDS = 120.0
_END_SECONDS = 5.0


def measure_processes(
    folder: Path, queries: Queries, counts: Sequence[int]
) -> list[dict[str, Any]]:
    """Lets processes open a store to read and write, and ask all queries, all at the same time.

    Memory is each process's proportional part of it (PSS), before it opens the store and when all
    have their answers and none has closed it. Pages that they share are counted once in the sum.

    Args:
        folder: of the store, which nobody else has open.
        queries: what every process asks.
        counts: numbers of processes; the first one is what the others are compared with.

    Returns:
        For each count ``catalog`` (models), ``processes``, ``queries`` (of each process),
        ``pss_growth_bytes`` (all processes together), ``ratio_to_first``.

    Raises:
        BenchmarkError: a process failed or was killed.
    """
    rows: list[dict[str, Any]] = []
    for count in counts:
        grown, models = _measure(folder, queries, count)
        first = rows[0]["pss_growth_bytes"] if rows else grown
        rows.append(
            {
                "catalog": models,
                "processes": count,
                "queries": len(queries),
                "pss_growth_bytes": grown,
                "ratio_to_first": grown / first,
            }
        )
    return rows


def _measure(folder: Path, queries: Queries, count: int) -> tuple[int, int]:
    """Returns the growth of all processes in bytes, and the models that they saw."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    processes: list[Any] = []
    pipes: list[Connection] = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(folder, queries, barrier, theirs), daemon=True
            )
            processes.append(process)
            pipes.append(ours)
            process.start()
            # Only the process itself holds its end, so that its death ends the pipe.
            theirs.close()
        told = _receive(pipes)
    finally:
        _end(processes)
        for pipe in pipes:
            pipe.close()
    return sum(grown for grown, _ in told), told[0][1]


def _receive(pipes: Sequence[Connection]) -> list[tuple[int, int]]:
    told: dict[Any, tuple[int, int]] = {}
    while len(told) < len(pipes):
        replies: dict[Any, Any] = {}
        for pipe in wait([pipe for pipe in pipes if pipe not in told]):
            assert isinstance(pipe, Connection)
            try:
                replies[pipe] = pipe.recv()
            except (EOFError, OSError):
                replies[pipe] = None
        # Those that waited in vain end without a word, just after the one that failed spoke.
        for reply in replies.values():
            if isinstance(reply, str):
                raise BenchmarkError(f"one of {len(pipes)} processes that ask the store: {reply}")
        if None in replies.values():
            raise BenchmarkError(
                f"one of {len(pipes)} processes ended before it told its memory; "
                "if memory ran out, choose smaller --sizes"
            )
        told.update(replies)
    return list(told.values())


def _end(processes: Sequence[Any]) -> None:
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    for process in started:
        process.join(_END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(folder: Path, queries: Queries, barrier: Any, pipe: Connection) -> None:
    # Ctrl-C reaches the whole group; the benchmark's own process decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        reply: Any = _ask_all(folder, queries, barrier)
    except BrokenBarrierError:
        return  # another one failed, and has told so
    except Exception as error:
        # Before the others stop waiting, so that this is what is read first.
        pipe.send(f"{type(error).__name__}: {error}")
        barrier.abort()
        return
    pipe.send(reply)


def _ask_all(folder: Path, queries: Queries, barrier: Any) -> tuple[int, int]:
    arguments = store_arguments(queries)
    _use_another_store(folder.parent / f"other-{os.getpid()}", queries)
    barrier.wait(_BARRIER_SECONDS)
    before = proportional_bytes()
    # Nobody opens the store, and so maps what is shared, before all have looked.
    barrier.wait(_BARRIER_SECONDS)
    store = EmbeddedStore(folder)
    ask = ask_store(store)
    for keys, starts in arguments:
        ask(keys, starts)
    barrier.wait(_BARRIER_SECONDS)
    after = proportional_bytes()
    # Nor does anybody close it.
    barrier.wait(_BARRIER_SECONDS)
    models = len(store)
    store.close()
    return after - before, models


def _use_another_store(folder: Path, queries: Queries) -> None:
    """Loads the code, so that the growth that follows is the large store's alone."""
    few = queries.head(min(10, len(queries)))
    with closing(EmbeddedStore(folder)) as store:
        put_catalog(store, few.models)
        for arguments in store_arguments(few):
            ask_store(store)(*arguments)
