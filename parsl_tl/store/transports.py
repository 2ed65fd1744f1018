"""The transports that reach servers: Arrow Flight always, Thallium where it was compiled in."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from parsl_tl.errors import (
    InvalidValueError,
    NativeModuleError,
    StoreError,
    StorePermissionError,
)
from parsl_tl.native import load_module, native
from parsl_tl.store.connection import Connection, is_thallium

if TYPE_CHECKING:
    from parsl_tl._native import Channel


def has_thallium() -> bool:
    """Returns whether this installation was compiled with Thallium."""
    return importlib.util.find_spec("parsl_tl._thallium") is not None


def transport_module(scheme: str) -> ModuleType:
    """Returns the native module that speaks a scheme.

    Raises:
        NativeModuleError: Thallium is asked for, and not compiled in or not found.
    """
    return load_transport(scheme, "_flight", "_thallium")


def load_transport(scheme: str, flight: str, thallium: str) -> ModuleType:
    """Loads the one of two native modules whose transport a scheme needs.

    Args:
        scheme: such as ``grpc+tcp`` or ``na+sm``.
        flight: the module of Arrow Flight.
        thallium: the module of Thallium.

    Raises:
        NativeModuleError: Thallium is asked for, and not compiled in or not found.
    """
    if not is_thallium(scheme):
        return load_module(flight)
    if not has_thallium():
        raise NativeModuleError(
            f"{scheme}:// needs Thallium, which was not found when parsl_tl was compiled; use "
            "grpc+tcp://, or install mochi-thallium (Spack) and compile parsl_tl anew"
        )
    try:
        # What comes with libfabric takes over Ctrl-C and SIGTERM while it is loaded.
        spec = importlib.util.find_spec(f"parsl_tl.{thallium}")
        if spec is not None and spec.origin is not None:
            native.load_keeping_signals(spec.origin)
        return load_module(thallium)
    except (ImportError, StoreError) as error:
        raise NativeModuleError(
            f"parsl_tl was compiled with Thallium, which cannot be loaded now: {error}; "
            "load the Spack environment that it was compiled in"
        ) from error


def connect(connection: Connection) -> Channel:
    """Returns a channel to a server; it connects when it is first used.

    Raises:
        NativeModuleError: see ``transport_module``.
        InvalidValueError: the address is none.
        StorePermissionError: the certificate cannot be read.
    """
    channel: Channel = transport_module(connection.scheme).connect(
        connection.address,
        ca_certificate=read_pem(connection.ca) if connection.ca else "",
        provider_id=connection.provider_id,
    )
    return channel


def read_pem(path: str) -> str:
    """Reads a certificate or a key.

    Raises:
        StorePermissionError: the file cannot be read.
        InvalidValueError: it is not PEM.
    """
    try:
        text = Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StorePermissionError(f"{path} cannot be read: {error}") from error
    if "-----BEGIN" not in text:
        raise InvalidValueError(f"{path} is no certificate or key in PEM format")
    return text
