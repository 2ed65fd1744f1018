"""Finding a transfer method by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from parsl_tl.errors import TransferError
from parsl_tl.imports import make_object
from parsl_tl.registry import Registry
from parsl_tl.transfer.hdf5 import Hdf5Transfer
from parsl_tl.transfer.method import TransferMethod
from parsl_tl.transfer.none import NoTransfer
from parsl_tl.transfer.redis import RedisTransfer
from parsl_tl.transfer.safetensors import SafetensorsTransfer
from parsl_tl.transfer.store import StoreTransfer

ENTRY_POINT_GROUP: Final = "parsl_tl.transfer"
"""Packages add methods under this entry point group: ``name = "module:attribute"``."""

_REGISTRY: Final = Registry(
    "transfer method",
    ENTRY_POINT_GROUP,
    TransferError,
    {
        method.name: method
        for method in (Hdf5Transfer, NoTransfer, RedisTransfer, SafetensorsTransfer, StoreTransfer)
    },
)


def list_transfer_methods() -> list[str]:
    """Returns the names of all transfer methods that are built in or installed, sorted."""
    return _REGISTRY.names()


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
    found = _REGISTRY.find(name)
    if not callable(found):
        raise TransferError(f"transfer method {name!r} is {found!r}, which makes nothing")
    return found  # type: ignore[no-any-return]
