"""A store on the nodes of a Parsl configuration: one server beside the workers of each node."""

from parsl_tl.cluster.store_cluster import StoreCluster

__all__ = ["StoreCluster"]
