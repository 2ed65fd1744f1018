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
    return {
        "module": function.__module__,
        "class_name": "function",
        "config": function.__name__,
        "registered_name": function.__name__,
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


def bind_functions(document: Any) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """Gives the functions of a document names under which Keras finds them.

    Args:
        document: parsed JSON of a model; changed in place.

    Returns:
        Functions by name, to be given to Keras as custom objects; and those that Keras has to find
        itself, each as module, name and digest.
    """
    found: dict[str, Any] = {}
    others = []
    for function in functions_in(document):
        code = function.pop(CODE, None)
        known = _KNOWN.get(code) or _UNKNOWN.get(code)
        if known is not None:
            function["config"] = f"{function['config']}_{code}"
            found[function["config"]] = known
        elif code is not None:
            others.append((str(function.get("module")), str(function["config"]), code))
    return found, others


def check_functions(functions: list[tuple[str, str, str]]) -> None:
    """Checks functions that Keras has found, or imported, by their name.

    Raises:
        ArchitectureError: one has another code than the architecture says.
    """
    for module, name, code in functions:
        function = getattr(sys.modules.get(module), name, None)
        if code.startswith("unknown-") or function is None:
            continue  # known to Keras under the name with which it is registered
        if code_digest(function) != code:
            raise ArchitectureError(
                f"the function {name!r} of the module {module!r} has another code than the "
                "architecture was made with; bring back that code, or make the architecture anew"
            )
