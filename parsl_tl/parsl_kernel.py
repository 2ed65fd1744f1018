"""A Parsl kernel for the time of a ``with``, that Ctrl-C ends in order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from parsl_tl.loaded_kernel import start_kernel

if TYPE_CHECKING:
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel


@contextlib.contextmanager
def parsl_kernel(config: parsl.Config) -> Iterator[DataFlowKernel]:
    """Loads a configuration, beside others in this process, and ends it whatever happens.

    A terminal sends Ctrl-C to all processes that were started from it. If Parsl's interchange died
    of it, shutting down would wait for its answer for ever. So Parsl's processes and threads do not
    see the signal; this process does, and ends them.
    """
    # Threads and processes keep the mask of the thread that starts them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        kernel = start_kernel(config)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with kernel:
        yield kernel
