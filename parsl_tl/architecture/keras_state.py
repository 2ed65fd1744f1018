"""What a Keras layer knows beside its config and its weights: tables, and what derives from both.

A lookup layer that was adapted has its table in neither; here it gets into the config, so that it
counts in the hash and comes back with ``to_keras``. Tensors that a layer computes from its weights
are computed anew once weights are set. What is left, nobody but the layer's own code can carry:
such layers are named, so that storing them can be refused.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras

# Graphs of models that cannot be stored, with the reason.
_refused: weakref.WeakKeyDictionary[Hashable, str] = weakref.WeakKeyDictionary()


def put_state(model: keras.Model, document: dict[str, Any]) -> str | None:
    """Puts the tables that lookup layers were adapted to into a model's JSON.

    Args:
        model: the model.
        document: its parsed JSON, which is changed.

    Returns:
        Why the model cannot be stored, if it cannot: which layer's state is not carried.
    """
    carried: set[int] = set()
    if any(_is_lookup(layer) for layer in _every_layer(model)):
        _put_tables(model, document, carried)
    return _reason_not_carried(model, carried)


def refuse_graph(graph: Hashable, reason: str) -> None:
    """Has ``check_graph`` refuse a graph, and all that equal it, for as long as it lives."""
    _refused[graph] = reason


def check_graph(graph: Hashable) -> None:
    """Refuses the graph of a model of which config and weights are not all.

    Raises:
        ArchitectureError: it was read from such a model in this process.
    """
    if _refused and graph in _refused:
        raise ArchitectureError(_refused[graph])


def check_model(model: keras.Model) -> None:
    """Refuses a model of which config and weights are not all; see ``check_graph``.

    Raises:
        ArchitectureError: with the name of a layer whose state nothing but Keras' files carry.
    """
    carried: set[int] = set()
    if any(_is_lookup(layer) for layer in _every_layer(model)):
        _put_tables(model, json.loads(model.to_json()), carried)
    reason = _reason_not_carried(model, carried)
    if reason is not None:
        raise ArchitectureError(reason)


def make_derived_anew(layers: Iterable[Any]) -> bool:
    """Lets layers compute what derives from their weights; call it whenever weights were set.

    Args:
        layers: Keras layers, or whole models; layers inside of them count.

    Returns:
        True if there was anything. Functions that Keras has traced hold the old values then.
    """
    found = False
    for outer in layers:
        for layer in [outer, *_every_layer(outer)]:
            if _is_lookup(layer) or not layer.built:
                continue
            if _overrides(layer, "load_own_variables"):
                # As after loading a file: what comes back is what the layer itself saves.
                state: dict[str, Any] = {}
                layer.save_own_variables(state)
                layer.load_own_variables(
                    {key: np.asarray(value).copy() for key, value in state.items()}
                )
                found = True
            elif callable(getattr(layer, "finalize_state", None)):
                layer.finalize_state()
                found = True
    return found


def forget_traces(model: keras.Model) -> None:
    """Makes Keras trace a model's functions again: they hold derived tensors as constants."""
    model.train_function = model.test_function = model.predict_function = None


def _every_layer(model: Any) -> Iterator[Any]:
    """Gives all layers inside of a layer or model, at any depth."""
    return iter(model._flatten_layers(include_self=False, recursive=True))


def _is_lookup(layer: Any) -> bool:
    # By name and not by class: importing Keras' own takes TensorFlow with it.
    return any(
        base.__name__ in ("IndexLookup", "TextVectorization")
        and base.__module__.startswith("keras.")
        for base in type(layer).__mro__
    )


def _put_tables(layer: Any, entry: Mapping[str, Any], carried: set[int]) -> None:
    """Writes the tables of a layer, and of all layers in it, into its serialized form.

    Args:
        layer: the Keras layer.
        entry: what Keras wrote for it; its config is changed.
        carried: gets the ``id`` of each layer whose table is in the config then.
    """
    config = entry["config"]
    if _is_lookup(layer):
        inner = layer
        if "vocabulary" in config and hasattr(layer, "_lookup_layer"):  # TextVectorization
            inner = layer._lookup_layer
        if "vocabulary" in config:
            _put_table(inner, config)
            carried.update((id(layer), id(inner)))
        return
    inside = {part.name: part for part in layer._flatten_layers(False, False)}
    for part in _serialized_layers(config):
        found = inside.get(part["config"].get("name"))
        if found is not None and type(found).__name__ == part["class_name"]:
            _put_tables(found, part, carried)


def _put_table(lookup: Any, config: dict[str, Any]) -> None:
    # A list in the config is the table; a text is the name of a file, which may be gone one day.
    if config["vocabulary"] is not None and not isinstance(config["vocabulary"], str):
        return
    words = lookup.get_vocabulary(include_special_tokens=False)
    if not len(words):
        return
    is_text = str(lookup.vocabulary_dtype) == "string"
    config["vocabulary"] = [str(word) if is_text else int(word) for word in words]
    if lookup.output_mode == "tf_idf" and config.get("idf_weights") is None:
        start = lookup._token_start_index()
        weights = lookup.idf_weights_const.numpy()[start : start + len(words)]
        config["idf_weights"] = weights.tolist()
    if "vocabulary_size" in config:
        config["vocabulary_size"] = int(lookup.vocabulary_size())


def _serialized_layers(value: Any) -> Iterator[dict[str, Any]]:
    """Gives the outermost serialized layers in a config."""
    if isinstance(value, Mapping):
        config = value.get("config")
        is_layer = isinstance(config, dict) and "class_name" in value and "name" in config
        if is_layer and isinstance(value, dict):
            yield value
            return
        for item in value.values():
            yield from _serialized_layers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _serialized_layers(item)


def _reason_not_carried(model: Any, carried: set[int]) -> str | None:
    for layer in _every_layer(model):
        if id(layer) in carried:
            continue
        if _is_lookup(layer):
            what = "a table that its model's config does not tell"
        elif _overrides(layer, "save_assets") or _overrides(layer, "load_assets"):
            what = "files of its own (save_assets)"
        elif _overrides(layer, "save_own_variables") and _saves_more_than_weights(layer):
            what = "more than its weights (save_own_variables)"
        else:
            continue
        return (
            f"layer {layer.name!r} of class {type(layer).__name__} keeps {what}, which would be "
            "lost: put it into the layer's get_config or into weights (add_weight)"
        )
    return None


def _overrides(layer: Any, method: str) -> bool:
    """Returns whether a class outside of Keras has a method of its own in place of Keras'."""
    for base in type(layer).__mro__:
        if method in vars(base):
            return not base.__module__.startswith("keras.")
    return False


def _saves_more_than_weights(layer: Any) -> bool:
    state: dict[str, Any] = {}
    layer.save_own_variables(state)
    weights = [_content(weight) for weight in layer.weights]
    for value in state.values():
        content = _content(value)
        if content not in weights:
            return True
        weights.remove(content)
    return False


def _content(value: Any) -> tuple[Any, ...]:
    array = np.asarray(value)
    return array.shape, str(array.dtype), array.tobytes()
