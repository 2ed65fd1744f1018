"""Architectures of any space, built graph by graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph, hash_graphs
from parsl_tl.architecture.parameter_count import parameter_count
from parsl_tl.errors import ImpossibleArchitectureError, PopulationError
from parsl_tl.population.assembler import Assembler
from parsl_tl.population.flat_graphs import FlatGraphs, starts_of
from parsl_tl.spaces import SearchSpace, Shapes


class GraphAssembler(Assembler):
    """Builds every architecture with ``SearchSpace.build``."""

    def __init__(
        self,
        space: SearchSpace,
        input_shape: Shapes,
        output_shape: Sequence[int],
        output_activation: str = "linear",
    ) -> None:
        """See ``assembler_for``."""
        self._space = space
        self._shapes = (input_shape, output_shape, output_activation)
        self.class_names = []
        self._graphs: dict[tuple[int, ...], ArchitectureGraph] = {}

    def assemble(self, arch_seqs: NDArray[np.integer]) -> FlatGraphs:
        """See ``Assembler.assemble``."""
        return self._flatten(self._build(arch_seqs))

    def assemble_with_json(self, arch_seqs: NDArray[np.integer]) -> tuple[FlatGraphs, bytes]:
        """See ``Assembler.assemble_with_json``."""
        graphs = self._build(arch_seqs)
        text = "".join(f"{graph.to_json()}\n" for graph in graphs)
        return self._flatten(graphs), text.encode("ascii")

    def impossible(self, arch_seqs: NDArray[np.integer]) -> dict[int, str]:
        """See ``Assembler.impossible``; what was built is kept until it is assembled."""
        reasons = {}
        for number, row in enumerate(arch_seqs.tolist()):
            try:
                self._graphs[tuple(row)] = self._space.build(row, *self._shapes)
            except ImpossibleArchitectureError as error:
                reasons[number] = error.reason
        return reasons

    def _build(self, arch_seqs: NDArray[np.integer]) -> list[ArchitectureGraph]:
        rows = arch_seqs.tolist()
        missing = [row for row in rows if tuple(row) not in self._graphs]
        for reason in self.impossible(np.array(missing, np.int16)).values():
            raise PopulationError(
                f"an architecture of space {self._space.name!r} cannot exist with input shape "
                f"{self._shapes[0]}: {reason}; choose a larger input_shape"
            )
        graphs = [self._graphs[tuple(row)] for row in rows]
        self._graphs.clear()
        return graphs

    def _flatten(self, graphs: Sequence[ArchitectureGraph]) -> FlatGraphs:
        layers = [layer for graph in graphs for layer in graph.layers]
        counts = [parameter_count(layer) for layer in layers]
        edges = [graph.edges for graph in graphs]
        return FlatGraphs(
            starts_of(np.array([len(graph) for graph in graphs], np.int64)),
            np.concatenate([*hash_graphs(graphs), np.zeros(0, np.uint64)]),
            np.array([digest for g in graphs for digest in g.layer_digests], np.uint64),
            np.array([self._class_id(layer.class_name) for layer in layers], np.uint8),
            np.array([-1 if count is None else count for count in counts], np.int64),
            starts_of(np.array([len(own) for own in edges], np.int64)),
            np.concatenate([*edges, np.zeros((0, 2), np.uint32)]),
        )

    def _class_id(self, class_name: str) -> int:
        if class_name not in self.class_names:
            self.class_names.append(class_name)
        return self.class_names.index(class_name)
