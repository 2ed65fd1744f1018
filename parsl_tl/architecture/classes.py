"""What stands in Keras JSON: classes, and whether they are Keras' own, and tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

_KERAS: Final = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")
_NETWORKS: Final = ("Functional", "Model", "Sequential")


def is_keras_module(module: Any) -> bool:
    """Returns whether a module is part of Keras (2 or 3)."""
    return isinstance(module, str) and _is_in_keras(module)


@lru_cache
def _is_in_keras(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _KERAS)


def is_keras_class(module: str | None, registered_name: str | None) -> bool:
    """Returns whether a class is Keras' own.

    Args:
        module: where the class is; Keras writes None for what a script defines itself.
        registered_name: what Keras writes for every class that is not part of its public interface.
    """
    return is_keras_module(module) or (module is None and registered_name is None)


def class_identity(class_name: str, module: str | None, registered_name: str | None) -> Any:
    """Returns what tells a class from every other; equal for equal classes.

    A class of Keras is known by its name, whichever path its version of Keras gives it; its
    operations (``keras.ops``) have names that its layers have too. Any other class counts with its
    module and the name under which it is registered.
    """
    if not is_keras_class(module, registered_name):
        return [module, class_name, registered_name or class_name]
    return f"ops.{class_name}" if module and _has_operations(module) else class_name


@lru_cache
def _has_operations(module: str) -> bool:
    return "ops" in module.split(".")


def is_network(class_name: Any, config: Any) -> bool:
    """Returns whether an object is a model of layers: Functional, Sequential, or a subclass."""
    if not (_is_mapping(config) or isinstance(config, list)):
        return False
    return class_name in _NETWORKS or is_functional(class_name, config)


def is_functional(class_name: Any, config: Any) -> bool:
    """Returns whether an object is a Functional model, or of a subclass that Keras writes alike."""
    return class_name in ("Functional", "Model") or (
        _is_mapping(config) and "layers" in config and "output_layers" in config
    )


def placed(class_name: str, node: dict[str, Any]) -> dict[str, Any]:
    """Returns a call of one of Keras' layers with tensors by their place, if they have one.

    Keras 2 writes what goes into an attention half by place and half by keyword, and Keras 3 as the
    caller wrote it.
    """
    if class_name != "MultiHeadAttention":
        return node
    args, kwargs = list(node["args"]), dict(node["kwargs"])
    for key in ("query", "value", "key")[len(args) :]:
        if not is_keras_tensor(kwargs.get(key)):
            break
        args.append(kwargs.pop(key))
    return {"args": args, "kwargs": kwargs}


def is_keras_tensor(value: Any) -> bool:
    """Returns whether a piece of Keras JSON stands for a tensor."""
    return _is_mapping(value) and value.get("class_name") == "__keras_tensor__"


def _is_mapping(value: Any) -> bool:
    # The first takes a tenth of the time of the second, and a search asks of every layer and call.
    return type(value) is dict or isinstance(value, Mapping)


def keras_tensor(
    name: str, call: int, tensor: int, shape: Sequence[int | None] | None, dtype: str = "float32"
) -> dict[str, Any]:
    """Returns a tensor as it stands in Keras JSON."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": shape, "dtype": dtype, "keras_history": [name, call, tensor]},
    }


def tensors_of(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the tensors among a call's arguments.

    Dicts go in the order of their sorted keys, as they are digested: in which order they were
    written has no meaning.
    """
    if is_keras_tensor(value):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from tensors_of(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_of(item)
