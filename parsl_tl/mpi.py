"""MPI, imported when it is needed: loading it starts it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from parsl_tl.errors import ConfigError, ParslTLError

T = TypeVar("T")
# What launchers set for the processes that they start.
_LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")


@contextlib.contextmanager
def mpi_left_alone() -> Iterator[None]:
    """Keeps libraries that are imported within from loading MPI in passing, as DeepHyper does.

    Where a launcher is at work, loading MPI can end a process that is none of its ranks. And a
    process has one libfabric: that which comes with an MPI would be Thallium's, too. Who has
    imported mpi4py before keeps it.
    """
    if "mpi4py" in sys.modules:
        yield
        return
    sys.modules["mpi4py"] = None  # type: ignore[assignment]  # what Python calls not importable
    try:
        yield
    finally:
        del sys.modules["mpi4py"]


class OneRank:
    """Stands for ``MPI.COMM_WORLD`` where there is one process, so that MPI need not be there."""

    def Get_rank(self) -> int:  # noqa: N802 - as mpi4py has it
        """Returns 0."""
        return 0

    def Get_size(self) -> int:  # noqa: N802
        """Returns 1."""
        return 1

    def bcast(self, value: T, root: int = 0) -> T:
        """Returns the value."""
        return value

    def allgather(self, value: T) -> list[T]:
        """Returns the value, in a list."""
        return [value]


def was_launched(environment: Mapping[str, str]) -> bool:
    """Returns whether an MPI launcher started this process beside others."""
    return any(environment.get(name, "1") not in ("0", "1") for name in _LAUNCHED)


def load_mpi(error: type[ParslTLError] = ConfigError) -> Any:
    """Returns the module ``mpi4py.MPI``.

    Args:
        error: what is raised without it.

    Raises:
        ParslTLError: mpi4py, or the MPI library that it was made for, is not installed.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as reason:
        lines = "; ".join(str(reason).splitlines())  # one for each place that was looked at
        raise error(
            f"mpi4py cannot be used ({lines}): pip install 'parsl-tl[mpi]', or, on a machine with "
            "an MPI of its own, load its module and pip install --no-binary mpi4py mpi4py"
        ) from reason
    return MPI


def world() -> Any:
    """Returns ``MPI.COMM_WORLD``, or what stands for it in a process that runs alone.

    Raises:
        ConfigError: a launcher started several processes, but mpi4py cannot be imported.
    """
    try:
        return load_mpi().COMM_WORLD
    except ConfigError:
        if was_launched(os.environ):
            raise
        return OneRank()
