"""What a model is: a graph of layers, its prefix hashes, and common prefixes."""

from parsl_tl.architecture.builder import GraphBuilder, Tensor
from parsl_tl.architecture.graph import ArchitectureGraph, hash_graphs, longest_common_prefix
from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.architecture.prefix import layer_key

__all__ = [
    "ArchitectureGraph",
    "Call",
    "GraphBuilder",
    "Layer",
    "Tensor",
    "TensorRef",
    "hash_graphs",
    "layer_key",
    "longest_common_prefix",
]
