"""The storage of a search as it is given to workers: itself where it can travel, else served."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from parsl_tl.search.storage_calls import WorkerStorage
from parsl_tl.search.storage_server import StorageServer, hosts_of

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel


class SharedStorage:
    """A storage and, from the first evaluation on, the server that workers ask it through."""

    def __init__(self, storage: Any, kernel: DataFlowKernel, labels: Iterable[str]) -> None:
        """Prepares it.

        Args:
            storage: of the evaluator.
            kernel: whose workers need it.
            labels: of the executors that these belong to.
        """
        self._own = storage
        self._kernel, self._labels = kernel, tuple(labels)
        self._server: StorageServer | None = None

    @property
    def storage(self) -> Any:
        """What to send to workers."""
        if _travels(self._own):
            return self._own
        if self._server is None:
            self._server = StorageServer(self._own, hosts_of(self._kernel, self._labels))
            weakref.finalize(self, _close, self._server, os.getpid())
        return WorkerStorage(self._server.address)

    def is_watched(self, job_id: Any) -> bool:
        """Returns whether a run function is known to have looked at the status of its job."""
        return self._server is not None and self._server.is_watched(job_id)

    def forget(self, job_id: Any) -> None:
        """Notes that a job is over."""
        if self._server is not None:
            self._server.forget(job_id)


def _travels(storage: Any) -> bool:
    """Only a database of its own can be reached from every worker."""
    return type(storage).__name__ == "RedisStorage"


def _close(server: StorageServer, process: int) -> None:
    if os.getpid() == process:
        server.close()
