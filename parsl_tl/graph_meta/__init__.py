"""The metadata service on MPI: every rank holds a part of the graphs, and all answer together."""

from parsl_tl.graph_meta.cache import GraphCache, GraphMatch

__all__ = ["GraphCache", "GraphMatch"]
