"""Walks over graphs, to compare the store's index with; see cpp-store/benchmarks/graph_walk.hpp."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

class _Walk:
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def add(
        self, model_id: int, quality: float, layer_digests: ArrayLike, edges: ArrayLike
    ) -> None: ...
    def add_many(
        self,
        model_ids: ArrayLike,
        qualities: ArrayLike,
        layer_starts: ArrayLike,
        layer_digests: ArrayLike,
        edge_starts: ArrayLike,
        edges: ArrayLike,
    ) -> None: ...
    def best(self, layer_digests: ArrayLike, edges: ArrayLike) -> tuple[int, int] | None: ...
    def best_many(
        self,
        layer_starts: ArrayLike,
        layer_digests: ArrayLike,
        edge_starts: ArrayLike,
        edges: ArrayLike,
        threads: int = 1,
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]: ...

class GraphWalk(_Walk): ...
class ArrayGraphWalk(_Walk): ...
