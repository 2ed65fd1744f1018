"""Writes the digests of a Keras model's functions into its JSON, and finds them when it is built.

The config of an object is followed to its attributes, through wrappers, cells and nested models:
``config["activation"]`` is what ``layer.activation`` holds. Keras writes some functions of users
like its own, so that the attribute decides, and not what is written.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from parsl_tl.architecture.function_code import (
    CODE,
    code_digest,
    functions_in,
    is_function,
    is_named,
    unknown_code,
)
from parsl_tl.errors import ArchitectureError

# Functions by their digest: what Keras cannot import, lambdas above all. One for each code is kept,
# so that a graph can be built when the model it was taken from is gone.
_KNOWN: Final[OrderedDict[str, Any]] = OrderedDict()
_MOST_KNOWN: Final = 1024
# Those whose code has no digest are found while they live.
_UNKNOWN: Final[weakref.WeakValueDictionary[str, Any]] = weakref.WeakValueDictionary()
# Attributes that are not called like their key in the config.
_ATTRIBUTES: Final = {"Bidirectional": {"layer": "forward_layer"}}


def write_codes(model: Any, document: dict[str, Any]) -> None:
    """Writes the digest of its code beside each function of a model.

    Args:
        model: a Keras model.
        document: its parsed JSON, changed in place.
    """
    _write_network(model, document["config"])


def _write_network(model: Any, config: dict[str, Any]) -> None:
    operations = list(getattr(model, "operations", ())) + list(getattr(model, "_layers", ()))
    named = {operation.name: operation for operation in operations}
    for entry in config["layers"]:
        name = entry.get("name", entry["config"].get("name"))
        _write(named.get(name), entry)


def _write(owner: Any, value: Any) -> Any:
    """Returns a part of a document with digests, given the object that it was written from."""
    if isinstance(owner, types.FunctionType) and not is_named(owner):
        return _function(owner)
    if is_function(value):
        # Keras does not write where its own functions and those of libraries are.
        value[CODE] = _remember(owner) if isinstance(owner, types.FunctionType) else unknown_code()
        return value
    if isinstance(value, dict):
        config = value.get("config")
        if "class_name" not in value or not isinstance(config, dict):
            for key, item in value.items():
                value[key] = _write(owner.get(key) if isinstance(owner, Mapping) else None, item)
        elif isinstance(config.get("layers"), list):
            _write_network(owner, config)
        else:
            for key, item in config.items():
                config[key] = _write(_attribute(owner, key), item)
    elif isinstance(value, list):
        same = isinstance(owner, list | tuple) and len(owner) == len(value)
        parts = owner if same else [None] * len(value)
        value[:] = [_write(part, item) for part, item in zip(parts, value, strict=True)]
    return value


def _attribute(owner: Any, key: str) -> Any:
    name = _ATTRIBUTES.get(type(owner).__name__, {}).get(key, key)
    for attribute in (name, f"_{name}"):
        try:
            return getattr(owner, attribute)
        except (AttributeError, ValueError, RuntimeError):  # no such one, or not known yet
            continue
    return None


def _function(function: types.FunctionType) -> dict[str, Any]:
    import keras

    name = keras.saving.get_registered_name(function)
    return {
        "module": function.__module__,
        "class_name": "function",
        "config": name,
        "registered_name": name,
        CODE: _remember(function),
    }


def _remember(function: types.FunctionType) -> str:
    """Returns the digest of a function, by which it is found again."""
    digest = code_digest(function)
    if digest is None:
        digest = unknown_code()
        _UNKNOWN[digest] = function
        return digest
    _KNOWN[digest] = function
    _KNOWN.move_to_end(digest)
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.popitem(last=False)
    return digest


def bind_functions(document: Any) -> dict[str, Any]:
    """Gives the functions of a document names under which Keras finds them.

    Functions are looked for among those of models of this process, those that are registered with
    Keras, and those of modules that are imported. Nothing is imported for a document.

    Args:
        document: parsed JSON of a model; changed in place.

    Returns:
        Functions by name, to be given to Keras as custom objects.

    Raises:
        ArchitectureError: a function has another code than the architecture says.
    """
    found: dict[str, Any] = {}
    for function in functions_in(document):
        code = function.pop(CODE, None)
        known = _KNOWN.get(code) or _UNKNOWN.get(code)
        if known is None and code is not None and not code.startswith("unknown-"):
            known = _by_name(function, code)
        if known is not None:
            function["config"] = f"{function['config']}_{code}"
            found[function["config"]] = known
    return found


def _by_name(written: Mapping[str, Any], code: str) -> Any:
    import keras

    module, name = written.get("module"), str(written["config"])
    function = keras.saving.get_registered_object(name)
    if function is None:
        function = getattr(sys.modules.get(str(module)), name.rpartition(">")[2], None)
    if function is not None and code_digest(function) != code:
        raise ArchitectureError(
            f"the function {name!r} of the module {module!r} has another code than the "
            "architecture was made with; bring back that code, or make the architecture anew"
        )
    return function
