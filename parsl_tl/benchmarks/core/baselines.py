"""What the store is compared with, in C++: walks over graphs, and transports without a store."""

from __future__ import annotations

from types import ModuleType

from parsl_tl._baselines import ArrayGraphWalk, GraphWalk
from parsl_tl.store.transports import load_transport

__all__ = ["ArrayGraphWalk", "GraphWalk", "bare_transport"]


def bare_transport(scheme: str) -> ModuleType:
    """Returns the module with the ``BareServer`` and ``BareClient`` of a scheme.

    Raises:
        NativeModuleError: Thallium is asked for, and not compiled in or not found.
    """
    return load_transport(scheme, "_bare_flight", "_bare_thallium")
