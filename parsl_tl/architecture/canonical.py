"""The canonical form of a layer's configuration: equal meaning, equal text, equal digest."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from parsl_tl.native import native

# What Keras writes beside a config that does not change what the layer computes.
_NOT_CONFIG = frozenset({"build_config", "compile_config", "shared_object_id"})
_NETWORKS = ("Functional", "Model", "Sequential")


def is_keras_tensor(value: Any) -> bool:
    """Tells whether a piece of Keras JSON stands for a tensor."""
    return isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__"


def canonical(value: Any) -> Any:
    """Drops names and ``trainable`` of layers, at any depth, and what follows from the rest.

    A nested network is replaced by the prefix hashes of its own graph, since its layers refer to
    each other by name.
    """
    if isinstance(value, Mapping):
        config = value.get("config")
        if value.get("class_name") in _NETWORKS and isinstance(config, Mapping):
            return {"network": _network(value)}
        kept = {key: canonical(item) for key, item in value.items() if key not in _NOT_CONFIG}
        if "class_name" in value and isinstance(config, Mapping) and _is_layer(config):
            kept.pop("name", None)
            kept["config"] = canonical_config(config)
        return kept
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def canonical_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a layer's config without ``name`` and ``trainable``, nested layers alike."""
    return {
        key: canonical(item) for key, item in config.items() if key not in ("name", "trainable")
    }


def _is_layer(config: Mapping[str, Any]) -> bool:
    # Every Keras layer has both; other objects (a dtype policy, say) may have a name that counts.
    return "name" in config and "trainable" in config


def _network(value: Mapping[str, Any]) -> list[Any]:
    from parsl_tl.architecture.graph import ArchitectureGraph

    graph = ArchitectureGraph.from_json(json.dumps(value))
    outputs = [[int(graph.prefix_hashes[ref.layer]), ref.call, ref.tensor] for ref in graph.outputs]
    return [sorted(graph.prefix_hashes.tolist()), outputs]


def layer_digest(
    class_name: str,
    registered_name: str | None,
    config: Mapping[str, Any],
    position: int | None = None,
) -> int:
    """Returns the 64-bit digest of a layer by itself, without its inputs.

    Args:
        class_name: the Keras class.
        registered_name: the registered name of a custom class.
        config: the layer's config.
        position: an input layer's position among the model's inputs.
    """
    if class_name in _NETWORKS:
        meaning = canonical({"class_name": class_name, "config": config})
    else:
        meaning = canonical_config(config)
    return _digest(
        json.dumps(
            [registered_name or class_name, meaning, position],
            sort_keys=True,
            separators=(",", ":"),
        )
    )


def node_digest(node: Mapping[str, Any]) -> int:
    """Returns the digest of the form of a call: all arguments, with tensors left blank.

    ``training`` does not count: it says how a model is run, not what it is.
    """
    kwargs = {key: value for key, value in node.get("kwargs", {}).items() if key != "training"}
    form = _blank_tensors([node.get("args", []), kwargs])
    return _digest(json.dumps(form, sort_keys=True, separators=(",", ":")))


def _blank_tensors(value: Any) -> Any:
    if is_keras_tensor(value):
        return "tensor"
    if isinstance(value, Mapping):
        return {key: _blank_tensors(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_blank_tensors(item) for item in value]
    return value


@functools.lru_cache(maxsize=65536)
def _digest(text: str) -> int:
    return int(native.digest(text))
