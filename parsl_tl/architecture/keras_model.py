"""Between graphs' JSON and ``keras.Model``; with ``functions``, all here that imports Keras."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.classes import is_keras_class
from parsl_tl.architecture.function_code import functions_in
from parsl_tl.architecture.functions import bind_functions, write_codes
from parsl_tl.architecture.keras_state import put_state
from parsl_tl.architecture.layer import Layer
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras

# What Keras raises for a document that it cannot make a model of.
_FAILURES = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, NotImplementedError)


def read_model(model: keras.Model) -> tuple[str, str | None]:
    """Reads a Keras model.

    Returns:
        Its JSON, with what layers know beside it, and why the model cannot be stored, or None.

    Raises:
        ArchitectureError: see ``ArchitectureGraph.from_keras``.
    """
    import keras

    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ArchitectureError(
                f"the Sequential model {model.name!r} is not built: give it a keras.Input, "
                "or call it once"
            )
        # The Functional model over the same layers names the tensors between them.
        model = keras.Model(model.inputs[0], model.outputs[0])
    if type(model).__name__ not in ("Functional", "Model") or not getattr(model, "inputs", None):
        raise ArchitectureError(
            f"{type(model).__name__} has no graph of layers; use a Functional or Sequential model"
        )
    document = json.loads(model.to_json())
    write_codes(model, document)
    refusal = put_state(model, document)
    return json.dumps(document), refusal


def build_model(text: str, layers: Sequence[Layer]) -> Any:
    """Builds the Keras model of a graph; see ``ArchitectureGraph.to_keras``.

    Args:
        text: the graph's JSON.
        layers: the graph's, in the same order, for messages.
    """
    import keras

    document = json.loads(text)
    functions = bind_functions(document)
    with keras.saving.custom_object_scope(functions):
        try:
            with warnings.catch_warnings():
                # Inputs are called by their stable names, whatever their keys are.
                warnings.filterwarnings("ignore", "When providing `inputs` as a dict")
                return keras.models.model_from_json(json.dumps(document))
        except _FAILURES as error:
            entries = document["config"]["layers"]
            raise ArchitectureError(_problem(layers, entries, error)) from error


def _problem(layers: Sequence[Layer], entries: list[Any], error: Exception) -> str:
    """Says which layer Keras cannot make; if it makes each by itself, they do not fit together."""
    import keras

    for layer, entry in zip(layers, entries, strict=True):
        written = {key: entry[key] for key in entry if key not in ("inbound_nodes", "build_config")}
        try:
            keras.saving.deserialize_keras_object(written)
        except _FAILURES:
            return f"Keras cannot make the layer {layer.name!r}: {_reason(layer)}"
    told = str(error).strip().splitlines()
    detail = f": {told[0]}" if isinstance(error, ValueError) and told else ""
    return f"Keras cannot build the architecture, whose layers do not fit together{detail}"


def _reason(layer: Layer) -> str:
    kind = layer.class_name
    if kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
        operation = layer.config.get("function", layer.config.get("node_def"))
        return (
            f"it is the operation {str(operation)[:60]!r} of TensorFlow, for which no operation of "
            "Keras 3 is known here; write the model with keras.ops or layers"
        )
    if kind == "Lambda" and "__lambda__" in json.dumps(layer.config, default=str):
        return (
            "it holds the bytes of a lambda, which are never run; define a function, "
            "register it with keras.saving.register_keras_serializable, and use that"
        )
    functions = [str(function["config"]) for function in functions_in(layer.config)]
    if functions:
        return (
            f"it uses the function {functions[0]!r}, which cannot be found; register it with "
            "keras.saving.register_keras_serializable"
        )
    if not is_keras_class(layer.module, layer.registered_name):
        return (
            f"its class {kind!r} of the module {layer.module!r} cannot be imported, or refuses its "
            "configuration; register it with keras.saving.register_keras_serializable"
        )
    return (
        f"the class {kind!r} of the Keras that is installed does not exist or refuses its "
        f"configuration, of which these are the keys: {', '.join(sorted(layer.config))}"
    )
