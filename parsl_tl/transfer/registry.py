"""Finding a transfer method by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from parsl_tl.errors import TransferError
from parsl_tl.transfer.hdf5 import Hdf5Transfer
from parsl_tl.transfer.method import TransferMethod
from parsl_tl.transfer.none import NoTransfer
from parsl_tl.transfer.redis import RedisTransfer
from parsl_tl.transfer.safetensors import SafetensorsTransfer
from parsl_tl.transfer.store import StoreTransfer

ENTRY_POINT_GROUP: Final = "parsl_tl.transfer"
"""Packages add methods under this entry point group: ``name = "module:attribute"``."""

_BUILT_IN: Mapping[str, Callable[..., Any]] = {
    "hdf5": Hdf5Transfer,
    "none": NoTransfer,
    "redis": RedisTransfer,
    "safetensors": SafetensorsTransfer,
    "store": StoreTransfer,
}


def list_transfer_methods() -> list[str]:
    """Gives the names of all transfer methods that are built in or installed, sorted."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_transfer_method(name: str, **kwargs: Any) -> TransferMethod:
    """Makes a transfer method.

    Args:
        name: ``"none"``, ``"store"``, ``"hdf5"``, ``"safetensors"``, ``"redis"``, an installed one,
            or ``"module:attribute"`` of a callable.
        **kwargs: passed on to it: ``uri`` for ``"store"``, ``folder`` for files, ``url`` for
            ``"redis"``.

    Raises:
        TransferError: no such method, it refuses the arguments, or it does not conform to
            ``TransferMethod``.
    """
    factory = find_transfer_method(name)
    try:
        method = factory(**kwargs)
    except TypeError as error:
        raise TransferError(f"transfer method {name!r} does not take {kwargs}: {error}") from error
    if not isinstance(method, TransferMethod):
        raise TransferError(f"{name!r} made {method!r}, which is no parsl_tl.transfer method")
    return method


def find_transfer_method(name: str) -> Callable[..., Any]:
    """Gives what makes a transfer method: its class, mostly.

    Args:
        name: see ``get_transfer_method``.

    Raises:
        TransferError: no such method.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            found: Any = getattr(importlib.import_module(module), attribute)
            if callable(found):
                return found  # type: ignore[no-any-return]
            raise TransferError(f"transfer method {name!r} is {found!r}, which makes nothing")
        for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
            return point.load()  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise TransferError(f"transfer method {name!r} cannot be imported: {error}") from error
    raise TransferError(
        f"no transfer method is called {name!r}; there are {', '.join(list_transfer_methods())}, "
        'and "module:attribute" names one of yours'
    )
