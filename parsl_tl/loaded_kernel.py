"""The Parsl kernel that the user has loaded, if there is one in this process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

_inherited: DataFlowKernel | None = None


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


def _note_inherited() -> None:
    global _inherited
    if "parsl" in sys.modules:
        _inherited = loaded_kernel() or _inherited


os.register_at_fork(after_in_child=_note_inherited)
