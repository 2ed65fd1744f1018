"""Endpoints of Globus Compute as sites: what travels is small, and errors tell what they are."""

from __future__ import annotations

import re
from concurrent.futures import Future
from typing import Any, Final

from parsl.executors import GlobusComputeExecutor
from parsl.serialize import serialize

from parsl_tl.errors import InfrastructureError, InvalidValueError

MOST_BYTES: Final = 10_000_000
"""What Globus' service takes as one submission, and as one result."""

# What the endpoint's own Parsl says comes back as text, whose last line names the class.
_LAST_LINE = re.compile(r"^\s*([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)
_MACHINERY: Final = frozenset(("WorkerLost", "ManagerLost", "BlockEndedError"))


class EndpointExecutor(GlobusComputeExecutor):  # type: ignore[misc]
    """Parsl's ``GlobusComputeExecutor`` for one endpoint, as searches and routers need it.

    Args:
        executor: a ``globus_compute_sdk.Executor``.
        label: of the site.
        max_threads: tasks that it is given at a time; an endpoint does not tell how many workers
            it has.
    """

    def __init__(self, executor: Any, label: str, max_threads: int) -> None:
        super().__init__(executor, label=label)
        self.max_threads = max_threads

    def submit(
        self, func: Any, resource_specification: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Sends a task; see Parsl's executors.

        Raises:
            InvalidValueError: it is too large to be sent.
        """
        size = len(serialize((args, kwargs)))
        if size > MOST_BYTES:
            raise InvalidValueError(
                f"a task of {size / 1e6:.1f} MB cannot be sent to {self.label}, which takes "
                f"{MOST_BYTES / 1e6:g} MB: let tasks read what is large from a store or a file"
            )
        sent: Future[Any] = super().submit(func, resource_specification, *args, **kwargs)
        told: Future[Any] = Future()
        sent.add_done_callback(lambda done: _tell(done, told))
        return told


def _tell(done: Future[Any], told: Future[Any]) -> None:
    if done.cancelled():
        told.set_exception(InfrastructureError("the task was cancelled by Globus Compute"))
    elif (error := done.exception()) is not None:
        told.set_exception(_as_here(error))
    else:
        told.set_result(done.result())


def _as_here(error: BaseException) -> BaseException:
    """Returns the error that an executor of this machine would have given."""
    text = getattr(error, "remote_data", None)
    if not isinstance(text, str) or not text.strip():
        return error
    last = next(line for line in reversed(text.splitlines()) if line.strip())
    found = _LAST_LINE.match(last)
    if found is None:
        return error
    name, message = found[1].rpartition(".")[2], found[2] or ""
    return InfrastructureError(f"{name}: {message}") if name in _MACHINERY else error
