"""Functions in Keras JSON, and what their code is worth: a digest without position.

Keras writes a named function as its name and a lambda as marshalled bytes, file name and line
numbers included. Neither tells whether two functions do the same. So where the function itself is
at hand (``ArchitectureGraph.from_keras``), a digest of its code is written beside it, under the key
``CODE``; functions match by that digest alone. A function whose code is not known, or depends on
what cannot be digested, gets a digest that nothing else has: it never matches.

The functions of libraries are known by their name. Lambdas that Keras wrote compare by their text,
position included, which may match less but never wrongly; their bytes are never run.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import sysconfig
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

CODE: Final = "parsl_tl_code"
_FUNCTIONS: Final = ("function", "__lambda__")
_LIBRARIES: Final = frozenset(
    {
        *("keras", "tf_keras", "tensorflow", "numpy", "scipy", "jax", "jaxlib", "torch"),
        *("ml_dtypes", "optree"),
    }
)
_STANDARD: Final = sysconfig.get_paths()["stdlib"]
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


class _UnknownCodeError(Exception):
    """What a function does depends on something that cannot be digested."""


def is_function(value: Any) -> bool:
    """Returns whether a piece of Keras JSON stands for a Python function."""
    return isinstance(value, Mapping) and value.get("class_name") in _FUNCTIONS


def is_library(module: Any) -> bool:
    """Returns whether a module is of an array library: its functions are known by their name."""
    return isinstance(module, str) and module.partition(".")[0] in _LIBRARIES


def _is_known_module(name: Any) -> bool:
    """Returns whether a module is of an array library, or of Python itself."""
    if not isinstance(name, str) or is_library(name):
        return isinstance(name, str)
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names:
        return False
    # A file of the user's may be called like a module of Python.
    spec = getattr(sys.modules.get(top), "__spec__", None)
    origin = getattr(spec, "origin", None)
    return origin in ("built-in", "frozen") or (
        isinstance(origin, str) and origin.startswith(_STANDARD) and "site-packages" not in origin
    )


def unknown_code() -> str:
    """Returns a digest that no function has."""
    return f"unknown-{uuid.uuid4().hex}"


def code_digest(function: Any) -> str | None:
    """Returns the digest of what a function does, equal for equal code wherever it stands.

    It covers bytecode, constants, names, flags, argument counts, defaults, closure, and the values
    of the globals that it uses: plain values and arrays, functions (digested in the same way),
    modules. Bytecode differs from one Python version to the next.

    Returns:
        None if it uses anything else.
    """
    try:
        described = repr(_describe(function, {}))
    except (_UnknownCodeError, RecursionError):
        return None
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def mark_unknown(value: Any) -> None:
    """Gives the functions in a document whose code is not known a digest that nothing else has.

    Args:
        value: parsed Keras JSON; changed in place.
    """
    for function in _unknown_functions(value):
        function[CODE] = unknown_code()


def has_unknown(value: Any) -> bool:
    """Returns whether there is a function in a document whose code is not known."""
    return any(True for _ in _unknown_functions(value))


def functions_in(value: Any) -> Iterator[Any]:
    """Yields the named functions in a document."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "function":
            yield value
            return
        for item in value.values():
            yield from functions_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from functions_in(item)


def _unknown_functions(value: Any) -> Iterator[dict[str, Any]]:
    for function in functions_in(value):
        # Keras 3 writes "builtins" for all of them.
        if CODE not in function and not is_library(function.get("module")):
            yield function


def _describe(value: Any, seen: dict[int, int]) -> Any:
    """Returns plain tuples and strings that are equal for equal values."""
    kind = type(value)
    if kind in _PLAIN:
        return (kind.__name__, repr(value))
    if kind in (tuple, list):
        return (kind.__name__, *[_describe(item, seen) for item in value])
    if kind in (set, frozenset):
        return (kind.__name__, *sorted(repr(_describe(item, seen)) for item in value))
    if kind is dict:
        return ("dict", *[(_describe(k, seen), _describe(v, seen)) for k, v in value.items()])
    if kind in (range, slice, np.dtype):
        return (kind.__name__, repr(value))
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise _UnknownCodeError
        return ("array", str(array.dtype), array.shape, array.tobytes())
    if isinstance(value, types.CodeType):
        return _describe_code(value, seen)
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, value.keywords)
        return ("partial", *[_describe(part, seen) for part in parts])
    if is_named(value):
        return ("named", value.__module__, value.__qualname__)
    if isinstance(value, types.FunctionType):
        return _describe_function(value, seen)
    raise _UnknownCodeError


def is_named(value: Any) -> bool:
    """Returns whether something is found in a library by its name."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not _is_known_module(module) or not isinstance(name, str):
        return False
    found: Any = sys.modules.get(str(module))
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value  # and not a wrapper that goes by the name of what it wraps


def _describe_code(code: types.CodeType, seen: dict[int, int]) -> Any:
    return (
        "code",
        code.co_code,
        code.co_exceptiontable,
        (code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        tuple(_describe(constant, seen) for constant in code.co_consts),
    )


def _describe_function(function: types.FunctionType, seen: dict[int, int]) -> Any:
    if id(function) in seen:  # it calls itself
        return ("seen", seen[id(function)])
    seen[id(function)] = len(seen)
    try:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError as error:  # a cell that is still empty
        raise _UnknownCodeError from error
    used = []
    for name in sorted(_global_names(function.__code__)):
        if name in function.__globals__:
            value = function.__globals__[name]
            used.append((name, _describe(value, seen)))
            if isinstance(value, types.ModuleType):
                used.append((name, _describe_used(value, function.__code__, seen)))
    return (
        "function",
        _describe_code(function.__code__, seen),
        _describe(function.__defaults__, seen),
        _describe(function.__kwdefaults__, seen),
        [_describe(cell, seen) for cell in cells],
        [
            _describe_used(cell, function.__code__, seen)
            for cell in cells
            if isinstance(cell, types.ModuleType)
        ],
        used,
    )


def _describe_used(module: types.ModuleType, code: types.CodeType, seen: dict[int, int]) -> Any:
    """Describes what a function may use of a module that is no library's."""
    if _is_known_module(module.__name__):
        return ()
    names = {name for part in _codes(code) for name in part.co_names}
    return [
        (name, _describe(getattr(module, name), seen))
        for name in sorted(names)
        if hasattr(module, name)
    ]


def _global_names(code: types.CodeType) -> set[str]:
    names = set()
    for part in _codes(code):
        for instruction in dis.get_instructions(part):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names.add(instruction.argval)
            elif (
                instruction.opname == "IMPORT_NAME" and not _is_known_module(instruction.argval)
            ) or instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                raise _UnknownCodeError
    return names


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
