"""Finding a transfer method by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from parsl_tl.errors import TransferError
from parsl_tl.imports import import_object, is_import_name, make_object
from parsl_tl.suggestions import did_you_mean
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
    """Returns the names of all transfer methods that are built in or installed, sorted."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_transfer_method(name: str, **kwargs: Any) -> TransferMethod:
    """Makes a transfer method.

    Args:
        name: ``"none"``, ``"store"``, ``"hdf5"``, ``"safetensors"``, ``"redis"``, an installed one,
            or ``"module:attribute"`` or ``"file.py:attribute"`` of a callable.
        **kwargs: passed on to it: ``uri`` for ``"store"``, ``folder`` for files, ``url`` for
            ``"redis"``.

    Raises:
        TransferError: no such method, it refuses the arguments, or it does not conform to
            ``TransferMethod``.
    """
    factory = find_transfer_method(name)
    method = make_object(factory, kwargs, f"transfer method {name!r}", TransferError)
    if not isinstance(method, TransferMethod):
        raise TransferError(f"{name!r} made {method!r}, which is no parsl_tl.transfer method")
    return method


def find_transfer_method(name: str) -> Callable[..., Any]:
    """Returns what makes a transfer method: its class, mostly.

    Args:
        name: see ``get_transfer_method``.

    Raises:
        TransferError: no such method.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if is_import_name(name):
        found = import_object(name, "transfer method", TransferError)
        if callable(found):
            return found  # type: ignore[no-any-return]
        raise TransferError(f"transfer method {name!r} is {found!r}, which makes nothing")
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return point.load()  # type: ignore[no-any-return]
        except Exception as error:  # whatever a plug-in may raise
            raise TransferError(f"transfer method {name!r} cannot be imported: {error}") from error
    raise TransferError(
        f"no transfer method is called {name!r}{did_you_mean(name, list_transfer_methods())}; "
        f"there are {', '.join(list_transfer_methods())}, "
        'and "module:attribute" names one of yours'
    )
