"""The folder of a search with its models in its store, written without training.

The journal is that of ``long_run``; the store holds the same models, with weights that were drawn,
each with what it inherits from its parent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from long_run import write_long_run

from parsl_tl import open_store
from parsl_tl.architecture import ArchitectureGraph, longest_common_prefix
from parsl_tl.problems import get_problem
from parsl_tl.report.run import read_run
from parsl_tl.spaces import get_space
from parsl_tl.store import parse_model_id

if TYPE_CHECKING:
    from parsl_tl.report.run import Run


def write_stored_run(folder: Path, evaluations: int, **settings: object) -> Run:
    """Writes the folder, and returns the run."""
    own = write_long_run(
        folder, evaluations, workers=2, failing=0.0, population_size=4, sample_size=2, **settings
    )
    run = read_run(folder)
    problem, space = get_problem(own.problem), get_space(own.space, **own.space_args)
    graphs: dict[str, ArchitectureGraph] = {}
    with open_store(own.store_uri(folder)) as store:
        for row in run.frame.sort_values("job").to_dict("records"):
            graph = space.build(row["arch_seq"], problem.input_shape, problem.output_heads())
            graphs[row["model_id"]] = graph
            weights = draw_weights(graph, row["job"])
            parent = row["parent"] if isinstance(row["parent"], str) else None
            for name in longest_common_prefix(graph, graphs[parent]) if parent else []:
                weights.pop(name, None)
            store.put(
                parse_model_id(row["model_id"]),
                graph,
                weights,
                quality=row["objective"],
                parent=None if parent is None else parse_model_id(parent),
                fingerprint=0xAB << 56,
            )
    return run


def draw_weights(graph: ArchitectureGraph, seed: int) -> dict[str, list[np.ndarray]]:
    """Draws weights for all layers of a graph that have some; variances are positive."""
    rng = np.random.default_rng(seed)
    return {
        layer.name: [
            (np.abs(rng.normal(size=one.shape)) / max(1, one.shape[0]) + 0.01).astype("f4")
            if "variance" in one.path
            else (rng.normal(size=one.shape) / max(1, one.shape[0]) ** 0.5).astype("f4")
            for one in layer.weights
        ]
        for layer in graph.to_keras().layers
        if layer.weights
    }
