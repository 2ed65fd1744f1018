"""A store on the nodes of a Parsl configuration: one server beside the workers of each node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_tl.cluster.store_cluster import StoreCluster

__all__ = ["StoreCluster"]


def __getattr__(name: str) -> Any:
    """Loads Parsl with the class, and not with what only asks whether there is a cluster."""
    if name == "StoreCluster":
        from parsl_tl.cluster.store_cluster import StoreCluster

        return StoreCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
