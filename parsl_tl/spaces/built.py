"""What a space has built: a graph, or a Keras model of which the graph is read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.head import Head

_NO_OUTPUT = "Computed output size would be"


def read_graph(
    built: Any, space: str, inputs: Sequence[tuple[int, ...]], heads: Sequence[Head]
) -> ArchitectureGraph:
    """Reads what a space has built.

    Args:
        built: a graph, or a Keras model.
        space: its name.
        inputs: the shapes that go in.
        heads: the problem's.

    Raises:
        SpaceError: it is neither, or a Keras model that does not fit the problem.
    """
    if isinstance(built, ArchitectureGraph):
        return built
    keras = sys.modules.get("keras")  # who made a model has loaded it
    if keras is not None and isinstance(built, keras.Model):
        _check_shapes(built, space, inputs, heads)
        return ArchitectureGraph.from_keras(built)
    raise SpaceError(
        f"assemble of space {space!r} gives a {type(built).__name__}; it must return an "
        "ArchitectureGraph (GraphBuilder.build makes one) or a keras.Model"
    )


def with_input_names(graph: ArchitectureGraph, names: Sequence[str]) -> ArchitectureGraph:
    """Returns a graph that takes its inputs by names, in place of a list.

    Args:
        graph: of a model that takes a list, or a dict already.
        names: sorted.

    Raises:
        SpaceError: the graph has other inputs.
    """
    structure = {name: number for number, name in enumerate(names)}
    if graph.input_structure == structure:
        return graph
    if len(graph.inputs) != len(names) or isinstance(graph.input_structure, dict):
        raise SpaceError(
            f"the architecture takes its inputs as {graph.input_structure!r}, but the problem has "
            f"the inputs {list(names)}"
        )
    return ArchitectureGraph(
        graph.layers,
        graph.inputs,
        graph.outputs,
        input_structure=structure,
        output_structure=graph.output_structure,
    )


def reason_of_keras(error: Exception) -> str | None:
    """Returns why an architecture cannot exist, if that is what Keras says; else None."""
    text = str(error)
    if isinstance(error, ValueError) and _NO_OUTPUT in text:
        what = "pool" if "pool_size" in text else "kernel"
        return f"{what} is larger than its input"
    return None


def _check_shapes(
    model: Any, space: str, inputs: Sequence[tuple[int, ...]], heads: Sequence[Head]
) -> None:
    """Compares a model's inputs and outputs with those of the problem."""
    for what, tensors, wanted in (
        ("takes", model.inputs, list(inputs)),
        ("gives", model.outputs, [head.shape for head in heads]),
    ):
        found = [tuple(tensor.shape[1:]) for tensor in tensors or ()]
        if tensors and (len(found) != len(wanted) or not all(map(_agree, found, wanted))):
            raise SpaceError(
                f"the model of space {space!r} {what} the shapes {_listed(found)}, but the "
                f"problem's are {_listed(wanted)}; build the model from the shapes that the space "
                "is given, or search it for a problem of its own shapes"
            )


def _agree(found: Sequence[int | None], wanted: Sequence[int]) -> bool:
    return len(found) == len(wanted) and all(
        own in (None, size) for own, size in zip(found, wanted, strict=True)
    )


def _listed(shapes: Sequence[Any]) -> str:
    return ", ".join(map(str, shapes))
