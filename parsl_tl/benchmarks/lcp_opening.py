"""How long a store takes until it answers, with its snapshot and without."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.lcp_methods import Queries, ask_store, store_arguments
from parsl_tl.store.embedded import EmbeddedStore

_REPEATS = 5


def measure_opening(folder: Path, queries: Queries) -> dict[str, Any]:
    """Opens a store whose catalog is folded, again and again; leaves it as it was.

    The files are in memory (the page cache), as they are when another process has used the store
    just before.

    Args:
        folder: of the store, which nobody has open.
        queries: the first of them is asked.

    Returns:
        ``catalog`` (models), ``open_seconds``, ``open_query_seconds`` (until the first query is
        answered; both are medians of 5), ``replay_seconds`` (to open without the snapshot, which
        reads the whole log; once), ``bytes_log``, ``bytes_snapshot``.
    """
    (arguments,) = store_arguments(queries.head(1))
    opened, answered = [], []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        with closing(EmbeddedStore(folder)) as store:
            opened.append(time.perf_counter() - start)
            ask_store(store)(*arguments)
            answered.append(time.perf_counter() - start)
            catalog, stats = len(store), store.stats()
    (folder / "snapshot").unlink()
    start = time.perf_counter()
    with closing(EmbeddedStore(folder)) as store:
        replayed = time.perf_counter() - start
        store.fold()
    return {
        "catalog": catalog,
        "open_seconds": statistics.median(opened),
        "open_query_seconds": statistics.median(answered),
        "replay_seconds": replayed,
        "bytes_log": stats["bytes_log"],
        "bytes_snapshot": stats["bytes_snapshot"],
    }
