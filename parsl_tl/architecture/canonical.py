"""The canonical form of a layer's configuration: equal meaning, equal text, equal digest."""

from __future__ import annotations

import functools
import json
import marshal
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.classes import (
    class_identity,
    is_keras_class,
    is_keras_tensor,
    is_network,
    tensors_of,
)
from parsl_tl.architecture.function_code import CODE, is_function
from parsl_tl.architecture.keras_json import parse_nested
from parsl_tl.architecture.layer import Layer, TensorRef
from parsl_tl.architecture.prefix import hash_layers, layer_keys
from parsl_tl.architecture.ranks import input_ranks
from parsl_tl.architecture.structure import Structure, meaning_of, paths_of
from parsl_tl.native import native

# What Keras writes beside a config that does not change what the layer computes.
_NOT_CONFIG = frozenset({"build_config", "compile_config", "shared_object_id"})
# What says of which class an object is.
_CLASS_KEYS = frozenset({"class_name", "module", "registered_name", "config"})
# Where Keras' own objects start to draw numbers: how a model is trained, not what it is.
_SEEDS = frozenset({"seed", "seed_generator"})
# Keras' layers that name axes of their input.
_AXES = {
    "BatchNormalization": "axis",
    "Concatenate": "axis",
    "Dot": "axes",
    "GroupNormalization": "axis",
    "LayerNormalization": "axis",
    "Softmax": "axis",
    "UnitNormalization": "axis",
}
_REMEMBERED = 65536
_BY_VALUE = 2  # the last version of marshal's format in which bytes do not tell what was shared
_digests: dict[bytes, int] = {}  # of layers by themselves


def canonical(value: Any) -> Any:
    """Drops names and ``trainable`` of layers, at any depth, and what follows from the rest.

    A nested network is replaced by the prefix hashes of its own graph, since its layers refer to
    each other by name; a function whose code is known by the digest of it.
    """
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    class_name, config = value.get("class_name"), value.get("config")
    if is_function(value) and CODE in value:
        return {"function": value[CODE]}
    if not isinstance(class_name, str) or "config" not in value:
        return {key: canonical(item) for key, item in value.items() if key not in _NOT_CONFIG}
    module, registered = value.get("module"), value.get("registered_name")
    identity = class_identity(class_name, module, registered)
    if is_network(class_name, config):
        return {"class": identity, "network": _network(value)}
    kept = {
        key: canonical(item)
        for key, item in value.items()
        if key not in _NOT_CONFIG and key not in _CLASS_KEYS
    }
    kept["class"] = identity
    if isinstance(config, Mapping):
        layer = _is_layer(config)
        if layer:
            kept.pop("name", None)
        kept["config"] = _config(
            class_name, config, own=is_keras_class(module, registered), layer=layer
        )
    else:
        kept["config"] = canonical(config)
    return kept


def _config(
    class_name: str, config: Mapping[str, Any], *, own: bool, layer: bool, rank: int | None = None
) -> dict[str, Any]:
    dropped = {"name", "trainable"} if layer else set()
    if own:
        dropped |= _SEEDS
    kept = {key: canonical(item) for key, item in config.items() if key not in dropped}
    if not own:
        return kept
    if class_name == "InputLayer" and isinstance(kept.get("batch_shape"), list):
        # How many examples go in at once is no part of the architecture.
        kept["batch_shape"] = [None, *kept["batch_shape"][1:]]
    elif class_name == "Bidirectional":
        for inner in (kept.get("layer"), kept.get("backward_layer")):
            if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
                inner["config"].pop("zero_output_for_mask", None)  # the wrapper sets it
        if _follows_from_forward(kept):
            del kept["backward_layer"]
    elif class_name in _AXES:
        key = _AXES[class_name]
        kept[key] = _from_the_end(kept.get(key), rank)
    return kept


def _follows_from_forward(config: Mapping[str, Any]) -> bool:
    """Returns whether the backward layer of a Bidirectional is the forward one, turned around."""
    forward, backward = config.get("layer"), config.get("backward_layer")
    if backward is None:
        return "backward_layer" in config
    if not isinstance(forward, Mapping) or not isinstance(forward.get("config"), Mapping):
        return False
    turned = {
        **forward["config"],
        "go_backwards": not forward["config"].get("go_backwards", False),
    }
    return bool(backward == {**forward, "config": turned})


def _from_the_end(axis: Any, rank: int | None) -> Any:
    """Counts axes from the last one on, which is -1; a list of one axis is that axis."""
    if isinstance(axis, list):
        axes = [_from_the_end(item, rank) for item in axis]
        return axes[0] if len(axes) == 1 else axes
    counts = type(axis) is int and rank is not None and 0 <= axis < rank
    return axis - rank if counts else axis


def lacks_rank(layer: Layer) -> bool:
    """Returns whether the digest of a layer depends on a rank that the layer does not tell."""
    if layer.class_name not in _AXES:
        return False
    axis = layer.config.get(_AXES[layer.class_name])
    axes = axis if isinstance(axis, list) else [axis]
    counts = any(type(item) is int and item >= 0 for item in axes)
    return counts and input_rank(layer) is None


def _is_layer(config: Mapping[str, Any]) -> bool:
    # Every Keras layer has both; other objects (a dtype policy, say) may have a name that counts.
    return "name" in config and "trainable" in config


def _network(value: Mapping[str, Any]) -> Any:
    parts = parse_nested(value).ordered()
    digests = layer_digests(parts.layers, parts.inputs, parts.input_structure)
    (hashes,) = hash_layers([parts.layers], [digests], [call_digests(parts.layers)])
    return identity_of(layer_keys(hashes.tolist()), parts.outputs, parts.output_structure)


def identity_of(
    keys: NDArray[np.uint64], outputs: Sequence[TensorRef], output_structure: Structure
) -> list[Any]:
    """Returns what equal graphs have in common; see ``ArchitectureGraph.identity``."""
    # The keys and places of inputs are in the hashes of input layers.
    known = keys.tolist()
    tensors = [[known[ref.layer], ref.call, ref.tensor] for ref in outputs]
    return [sorted(known), tensors, meaning_of(output_structure)]


def layer_digests(
    layers: Sequence[Layer], inputs: Sequence[int], input_structure: Structure
) -> list[int]:
    """Returns the digest of each layer by itself.

    Args:
        layers: of one graph, in topological order.
        inputs: indices of the input layers.
        input_structure: how the model takes its inputs.
    """
    position = dict(zip(inputs, paths_of(input_structure), strict=True))
    ranks: list[int | None] = [None] * len(layers)
    if any(map(lacks_rank, layers)):
        ranks = input_ranks(layers)
    return [layer_digest(layer, position.get(i), ranks[i]) for i, layer in enumerate(layers)]


def call_digests(layers: Sequence[Layer]) -> list[list[int]]:
    """Returns the digest of the form of each layer's calls."""
    return [[node_digest(call.node) for call in layer.calls] for layer in layers]


def layer_digest(layer: Layer, position: Any = None, rank: int | None = None) -> int:
    """Returns the 64-bit digest of a layer by itself, without its inputs.

    Args:
        layer: the layer.
        position: an input layer's position among the model's inputs, or its keys.
        rank: of what goes in, where the layer does not tell it (``input_rank``).
    """
    class_name, registered = layer.class_name, layer.registered_name
    identity = class_identity(class_name, layer.module, registered)
    if is_network(class_name, layer.config):
        meaning = canonical(
            {
                "class_name": class_name,
                "config": layer.config,
                "module": layer.module,
                "registered_name": registered,
            }
        )
        return _digest(_text(identity, meaning, position))
    if class_name in _AXES:
        rank = input_rank(layer) or rank
    own = is_keras_class(layer.module, registered)
    # Searches meet the same layers again and again, and their meaning takes longer to find than
    # their bytes, which are other ones for other values or types.
    config = {key: value for key, value in layer.config.items() if key != "name"}
    try:
        known = marshal.dumps([class_name, identity, own, position, rank, config], _BY_VALUE)
    except ValueError:  # there is more in it than JSON has
        known = None
    found = None if known is None else _digests.get(known)
    if found is None:
        meaning = _config(class_name, config, own=own, layer=True, rank=rank)
        found = _digest(_text(identity, meaning, position))
        if known is not None:
            if len(_digests) >= _REMEMBERED:
                _digests.clear()
            _digests[known] = found
    return found


def _text(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def input_rank(layer: Layer) -> int | None:
    """Returns the number of axes of what goes into a layer, or None if it is not written."""
    shapes = [(layer.build_config or {}).get("input_shape")]
    shapes += [
        tensor["config"].get("shape")
        for call in layer.calls[:1]
        for tensor in tensors_of([call.node.get("args", []), call.node.get("kwargs", {})])
    ]
    for shape in shapes:
        first = shape[0] if isinstance(shape, list) and shape else None
        known = first if isinstance(first, list) else shape
        if isinstance(known, list) and known:
            return len(known)
    return None


def node_digest(node: Mapping[str, Any]) -> int:
    """Returns the digest of the form of a call: all arguments, with tensors left blank.

    ``training`` does not count: it says how a model is run, not what it is. Neither does a mask
    that is None, which Keras writes or not.
    """
    if not node.get("kwargs") and (count := _tensors_alone(node.get("args"))) is not None:
        return _digest_of_tensors(count)
    kwargs = {
        key: value
        for key, value in node.get("kwargs", {}).items()
        if not (key == "training" and not isinstance(value, Mapping | list))
        and not ((key == "mask" or key.endswith("_mask")) and _is_nothing(value))
    }
    return _digest_of_form(*_blank_tensors([node.get("args", []), kwargs]))


def _tensors_alone(args: Any) -> int | None:
    """Returns how many tensors a call has in its only argument, a list; 0 for one without a list.

    Nearly all calls are such; for any other, it returns None.
    """
    if type(args) is not list or len(args) != 1:
        return None
    (only,) = args
    if type(only) is list and only and all(map(is_keras_tensor, only)):
        return len(only)
    return 0 if is_keras_tensor(only) else None


@functools.lru_cache
def _digest_of_tensors(count: int) -> int:
    return _digest_of_form([["tensor"] * count if count else "tensor"], {})


def _digest_of_form(args: Any, kwargs: Any) -> int:
    return _digest(json.dumps([args, kwargs], sort_keys=True, separators=(",", ":")))


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_nothing, value)))


def _blank_tensors(value: Any) -> Any:
    if is_keras_tensor(value):
        return "tensor"
    if is_function(value):
        return canonical(value)
    if isinstance(value, Mapping):
        return {key: _blank_tensors(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_blank_tensors(item) for item in value]
    return value


@functools.lru_cache(maxsize=_REMEMBERED)
def _digest(text: str) -> int:
    return int(native.digest(text))
