"""The storage of a search in this process, at a cost that does not grow with its jobs."""

from __future__ import annotations

import copy
import threading
from collections.abc import Hashable, Iterable
from typing import Any

from parsl_tl.mpi import mpi_left_alone

with mpi_left_alone():
    from deephyper.evaluator.storage import Storage


class _Record:
    __slots__ = ("inputs", "metadata", "out", "status")

    def __init__(self) -> None:
        self.status = 0
        self.inputs: Any = None
        self.out: Any = None
        self.metadata: dict[Hashable, Any] = {}

    def as_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "in": self.inputs,
            "out": self.out,
            "metadata": dict(self.metadata),
        }


class JobStorage(Storage):  # type: ignore[misc]
    """DeepHyper's ``MemoryStorage``, for evaluators of one process.

    It knows how many jobs a search has without listing them, and a job's status without copying
    the job. Threads may share it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._searches: dict[str, dict[str, _Record]] = {}
        self._values: dict[str, dict[Hashable, Any]] = {}
        self.connected = True

    def _connect(self) -> None:
        self.connected = True

    def num_jobs(self, search_id: str) -> int:
        """Returns how many jobs a search has, whoever created them."""
        return len(self._searches[search_id])

    def create_new_search(self) -> str:
        """Returns the identifier of a new search."""
        with self._lock:
            search_id = str(len(self._searches))
            self._searches[search_id] = {}
            self._values[search_id] = {}
            return search_id

    def create_new_job(self, search_id: str) -> str:
        """Returns the identifier of a new job, ``<search>.<number>``."""
        with self._lock:
            records = self._searches[search_id]
            job_id = f"{search_id}.{len(records)}"
            records[job_id] = _Record()
            return job_id

    def _record(self, job_id: str) -> _Record:
        return self._searches[job_id.split(".")[0]][job_id]

    def store_job(self, job_id: str, key: Hashable, value: Any) -> None:
        """Stores the value of one of a job's keys: ``in``, ``out``, ``status`` or another."""
        record = self._record(job_id)
        if key == "metadata":
            record.metadata = value
        elif key in ("in", "out", "status"):
            setattr(record, "inputs" if key == "in" else str(key), value)
        else:
            self.store_job_metadata(job_id, key, value)

    def store_job_in(self, job_id: str, args: Any = None, kwargs: Any = None) -> None:
        """Stores the arguments of a job."""
        self._record(job_id).inputs = {"args": args, "kwargs": kwargs}

    def store_job_out(self, job_id: str, value: Any) -> None:
        """Stores what a job returned."""
        self._record(job_id).out = value

    def store_job_metadata(self, job_id: str, key: Hashable, value: Any) -> None:
        """Stores something else about a job."""
        with self._lock:
            self._record(job_id).metadata[key] = value

    def store_job_status(self, job_id: str, job_status: int) -> None:
        """Stores the status of a job."""
        self._record(job_id).status = job_status

    def load_job_status(self, job_id: str) -> int:
        """Returns the status of a job."""
        return self._record(job_id).status

    def load_all_search_ids(self) -> list[str]:
        """Returns the identifiers of all searches."""
        return list(self._searches)

    def load_all_job_ids(self, search_id: str) -> list[str]:
        """Returns the identifiers of all jobs of a search, in the order of their creation."""
        with self._lock:
            return list(self._searches[search_id])

    def load_search(self, search_id: str) -> dict[str, Any]:
        """Returns a copy of all jobs of a search, by their number."""
        with self._lock:
            records = self._searches[search_id].items()
            data = {job_id.split(".")[1]: record.as_dict() for job_id, record in records}
            return copy.deepcopy(data)

    def load_job(self, job_id: str) -> dict[str, Any]:
        """Returns a copy of a job."""
        with self._lock:
            return copy.deepcopy(self._record(job_id).as_dict())

    def load_jobs(self, job_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Returns jobs by their identifiers."""
        with self._lock:
            return {job_id: self._record(job_id).as_dict() for job_id in job_ids}

    def store_search_value(self, search_id: str, key: Hashable, value: Any) -> None:
        """Stores something about a search."""
        self._values[search_id][key] = value

    def load_search_value(self, search_id: str, key: Hashable) -> Any:
        """Returns what was stored about a search."""
        return self._values[search_id][key]

    def load_metadata_from_all_jobs(self, search_id: str, key: Hashable) -> list[Any]:
        """Returns the values of a key of all jobs that have it."""
        with self._lock:
            records = self._searches[search_id].values()
            values = (record.metadata.get(key) for record in records)
            return [value for value in values if value is not None]

    def load_out_from_all_jobs(self, search_id: str) -> list[Any]:
        """Returns what all jobs that are done returned."""
        with self._lock:
            records = self._searches[search_id].values()
            return [record.out for record in records if record.out is not None]
