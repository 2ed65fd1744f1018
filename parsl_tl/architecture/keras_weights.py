"""Which Keras layer is which layer of a graph, and the order of a Keras layer's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.graph import ArchitectureGraph
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras


def keras_layers(model: keras.Model, graph: ArchitectureGraph) -> dict[str, Any]:
    """Maps stable names to the layers of ``model``, in the graph's order.

    A model that was built from its graph has the stable names; a user's own model has whatever
    names it was given, which the graph read from it still knows. All layers go by the one or all by
    the other: a user's layer may be called like another one's stable name. Inputs and operations
    (``x + y``, ``keras.ops``, masks) hold no weights and are passed over.

    Raises:
        ArchitectureError: the model is not a model of this graph.
    """
    import keras

    by_name = {operation.name: operation for operation in _operations(model)}
    wanted = [
        (stable, layer.name)
        for stable, layer in zip(graph.layer_names, graph.layers, strict=True)
        if not layer.is_input
    ]
    given = {stable: name for stable, name in wanted if name in by_name}
    stables = {stable: stable for stable, _ in wanted if stable in by_name}
    complete = [names for names in (given, stables) if len(names) == len(wanted)]
    if not complete:
        longer = max(given, stables, key=len)
        stable, name = next(pair for pair in wanted if pair[0] not in longer)
        raise ArchitectureError(
            f"the model has no layer {stable!r} (given name {name!r}); "
            "give the graph that the model was built from"
        )
    names = complete[0]
    if len(complete) == 2 and given != stables and not _is_wired_so(model, graph, given):
        names = stables
    found = {stable: by_name[name] for stable, name in names.items()}
    return {stable: part for stable, part in found.items() if isinstance(part, keras.Layer)}


def variables_of(layer: Any) -> list[Any]:
    """Returns the weights of a Keras layer, in the order in which they are stored.

    It is that of ``layer.weights``, which follows from the order in which the layer's code makes
    them. Only a quantized layer's order depends on its past (quantized in place, or built so);
    there the names decide.
    """
    inside = layer._flatten_layers(include_self=True, recursive=True)
    if all(getattr(part, "quantization_mode", None) is None for part in inside):
        return list(layer.weights)
    found: dict[int, Any] = {}
    for part in inside:
        own = {id(weight): weight for weight in part.weights}
        for child in part._flatten_layers(include_self=False, recursive=False):
            for weight in child.weights:
                own.pop(id(weight), None)
        weights = list(own.values())
        if getattr(part, "quantization_mode", None) is not None:
            weights.sort(key=lambda weight: str(weight.name))
        for weight in weights:
            found.setdefault(id(weight), weight)
    return list(found.values())


def _operations(model: keras.Model) -> list[Any]:
    """Returns what a model calls: layers, and operations, which a Sequential one does not list."""
    import keras

    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    return list(model.operations)


def _is_wired_so(model: keras.Model, graph: ArchitectureGraph, names: Mapping[str, str]) -> bool:
    """Returns whether layers called so in the model have the inputs that the graph gives them."""
    own = ArchitectureGraph.from_keras(model)
    there = {layer.name: index for index, layer in enumerate(own.layers)}
    called = [names.get(stable, "") for stable in graph.layer_names]  # inputs are all called ""

    def known(name: str) -> str:
        return name if name in names.values() else ""

    for layer, name in zip(graph.layers, called, strict=True):
        if not name:
            continue
        other = own.layers[there[name]]
        sources = [[own.layers[ref.layer].name for ref in call.inputs] for call in other.calls]
        theirs = [[known(source) for source in call] for call in sources]
        mine = [[called[ref.layer] for ref in call.inputs] for call in layer.calls]
        if other.class_name != layer.class_name or mine != theirs:
            return False
    outputs = [(called[ref.layer], ref.call, ref.tensor) for ref in graph.outputs]
    return outputs == [
        (known(own.layers[ref.layer].name), ref.call, ref.tensor) for ref in own.outputs
    ]
