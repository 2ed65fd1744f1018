"""The Parsl kernel that the user has loaded, if there is one in this process."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel

_inherited: DataFlowKernel | None = None
_own: weakref.WeakSet[DataFlowKernel] = weakref.WeakSet()
_starting = threading.Lock()


def loaded_kernel() -> DataFlowKernel | None:
    """Returns Parsl's loaded kernel, or None.

    One that was loaded before this process was forked runs nothing here: its threads are with the
    other process.
    """
    import parsl
    from parsl.errors import NoDataFlowKernelError

    try:
        kernel: DataFlowKernel = parsl.dfk()
    except NoDataFlowKernelError:
        return None
    return None if kernel is _inherited else kernel


def kernel_of_the_user() -> DataFlowKernel | None:
    """Returns the loaded kernel, or None; one that ``start_kernel`` made is its maker's alone."""
    kernel = loaded_kernel()
    return None if kernel in _own else kernel


def start_kernel(config: parsl.Config) -> DataFlowKernel:
    """Makes a kernel; it is loaded if none is, since Parsl has one at a time."""
    import parsl
    from parsl.errors import NoDataFlowKernelError

    with _starting:
        try:
            parsl.dfk()
        except NoDataFlowKernelError:
            kernel: DataFlowKernel = parsl.load(config)
        else:
            kernel = parsl.DataFlowKernel(config)
        _own.add(kernel)
    return kernel


def _note_inherited() -> None:
    global _inherited
    if "parsl" in sys.modules:
        _inherited = loaded_kernel() or _inherited


os.register_at_fork(after_in_child=_note_inherited)
