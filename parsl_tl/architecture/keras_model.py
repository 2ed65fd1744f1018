"""Between graphs and ``keras.Model``; the only place in this package that imports Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.graph import ArchitectureGraph
from parsl_tl.architecture.keras_state import graph_with_state
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras


def graph_of(model: keras.Model) -> ArchitectureGraph:
    """Returns the architecture of a Keras model; see ``ArchitectureGraph.from_keras``."""
    import keras

    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ArchitectureError(
                f"the Sequential model {model.name!r} is not built: give it a keras.Input, "
                "or call it once"
            )
        # The Functional model over the same layers names the tensors between them.
        model = keras.Model(model.inputs, model.outputs)
    if type(model).__name__ not in ("Functional", "Model") or not getattr(model, "inputs", None):
        raise ArchitectureError(
            f"{type(model).__name__} has no graph of layers; use a Functional or Sequential model"
        )
    return graph_with_state(model)


def build(graph: ArchitectureGraph) -> Any:
    """Builds the Keras model of a graph; see ``ArchitectureGraph.to_keras``."""
    import keras

    text = graph.to_json()
    try:
        return keras.models.model_from_json(text)
    except (TypeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ArchitectureError(f"Keras cannot build the architecture: {first_line}") from error
