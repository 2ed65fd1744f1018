"""What the ranks measured, brought together on rank 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.graph_meta.cache import BestGraphs
from parsl_tl.graph_meta.file_slices import FileSlice
from parsl_tl.graph_meta.table_files import is_table
from parsl_tl.reporting.machine import write_machine_facts
from parsl_tl.reporting.tables import percentiles, print_table, write_rows


def query_row(method: str, asked_by: str, batch: int) -> dict[str, Any]:
    """Returns the columns that name a measurement."""
    return {"method": method, "asked_by": asked_by, "batch": batch}


def gather(comm: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Returns on rank 0 the arrays of all ranks, one behind the other; nothing elsewhere.

    Args:
        comm: an mpi4py communicator.
        values: one-dimensional, of the same dtype on all ranks.
    """
    counts = np.empty(comm.Get_size(), np.int64)
    comm.Allgather(np.array([len(values)], np.int64), counts)
    is_root = comm.Get_rank() == 0
    joined = np.empty(int(counts.sum()) if is_root else 0, values.dtype)
    comm.Gatherv(np.ascontiguousarray(values), [joined, counts.tolist()] if is_root else None)
    return joined


class Report:
    """Rows of what was measured; its ``add`` methods are collective, and rank 0 has the rows.

    Attributes:
        loading: one row.
        queries: one row per way to ask.
        answers: one row per query: number of the query and of the model it was made of, id and
            length of the best graph, and its quality.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.loading: list[dict[str, Any]] = []
        self.queries: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []

    def add_loading(self, slices: Sequence[FileSlice], seconds: float) -> None:
        """Adds how long it took to load all files."""
        models = sum(file_slice.num_models for file_slice in slices)
        num_bytes = sum(
            file_slice.end - file_slice.start
            for file_slice in slices
            if not is_table(file_slice.path)
        )
        totals = gather(self._comm, np.array([models, num_bytes], np.int64)).reshape(-1, 2)
        models, num_bytes = totals.sum(axis=0).tolist()
        self.loading.append(
            {
                "ranks": self._comm.Get_size(),
                "models": models,
                "seconds": seconds,
                "models_per_s": models / seconds,
                "json_mb_per_s": num_bytes / seconds / 1e6 if num_bytes else None,
            }
        )

    def add_queries(
        self,
        row: dict[str, Any],
        latencies: Sequence[float],
        seconds: float | None = None,
        num_queries: int = 0,
    ) -> None:
        """Adds a way to ask.

        Args:
            row: what names it, see ``query_row``.
            latencies: of this rank's calls, in seconds.
            seconds: until all ranks were done; None where only one asked.
            num_queries: of this rank.
        """
        every = gather(self._comm, np.array(latencies, np.float64))
        count = int(gather(self._comm, np.array([num_queries], np.int64)).sum())
        if len(every) == 0:
            return
        found = {f"{name}_us": value * 1e6 for name, value in percentiles(every.tolist()).items()}
        rate = count / seconds if seconds else len(every) / float(every.sum())
        calls = {"queries": count or len(every)}
        self.queries.append({**row, **calls, **found, "queries_per_s": rate})

    def add_agreement(self, same: int, walked: int) -> None:
        """Adds how many answers of the walk are those of the index."""
        totals = gather(self._comm, np.array([same, walked], np.int64)).reshape(-1, 2).sum(axis=0)
        for row in self.queries:
            if row["method"] == "walk":
                row["same_answers"] = f"{totals[0]} of {totals[1]}"

    def add_answers(
        self, numbers: NDArray[np.int64], models: NDArray[np.uint64], answers: BestGraphs
    ) -> None:
        """Adds the answers of this rank."""
        columns: dict[str, NDArray[Any]] = {
            "query": numbers,
            "made_of": models,
            "model_id": answers.ids,
            "length": answers.lengths,
            "quality": answers.qualities,
        }
        joined = {name: gather(self._comm, column) for name, column in columns.items()}
        for row in np.argsort(joined["query"]).tolist():
            self.answers.append({name: column[row].item() for name, column in joined.items()})

    def show(self, console: Any) -> None:
        """Prints the tables."""
        print_table("loading", self.loading, console)
        print_table("queries (latencies in microseconds)", self.queries, console)

    def write(self, folder: Path) -> list[str]:
        """Writes all rows as CSV and Parquet, and the machine's facts; returns the file names."""
        written = []
        for name in ("loading", "queries", "answers"):
            written += [path.name for path in write_rows(getattr(self, name), folder, name)]
        return [*written, write_machine_facts(folder).name]
