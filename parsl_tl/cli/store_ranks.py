"""Servers of one store on the ranks of an MPI job: ``parsl-tl store serve --mpi``."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from parsl_tl.errors import InfrastructureError, InvalidValueError, ParslTLError
from parsl_tl.mpi import world
from parsl_tl.store.connection import Connection
from parsl_tl.store.token import read_token
from parsl_tl.store.transports import transport_module

if TYPE_CHECKING:
    from parsl_tl.store.serving import ServerSettings, StoreServer


def start_on_ranks(settings: ServerSettings) -> tuple[StoreServer, list[str] | None]:
    """Starts a server on each rank; all ranks call it.

    Args:
        settings: the same on all ranks. The servers' folders are ``server.0``, ``server.1``, ... in
            its folder.

    Returns:
        This rank's server, and, on rank 0, the connection strings of all, in the ranks' order.

    Raises:
        InfrastructureError: a server does not start on some rank; on all of them.
        ConfigError: MPI is not there.
    """
    from parsl_tl.store.serving import StoreServer

    # A process has one libfabric: the transport's, and not that which an MPI brings along.
    transport_module(Connection.parse(settings.address).scheme)
    comm = world()
    rank = comm.Get_rank()
    if settings.folder is not None:
        folder = Path(settings.folder).expanduser() / f"server.{rank}"
        settings = replace(settings, folder=folder)
    server = error = token = None
    try:
        if settings.folder is not None:
            Path(settings.folder).parent.mkdir(parents=True, exist_ok=True)
        server = StoreServer(settings)
        token = read_token(settings.token_file) if settings.token_file else None
    except (ParslTLError, OSError) as reason:
        error = f"rank {rank} on {socket.gethostname()}: {reason}"
    address = str(server.connection) if server is not None else None
    told = comm.allgather((address, token, error))
    errors = [text for _, _, text in told if text is not None]
    if len({token for _, token, _ in told}) > 1:
        errors.append(
            f"the ranks have different tokens in {settings.token_file}; put the token file on a "
            "file system that all of them see"
        )
    if errors or server is None:
        if server is not None:
            server.close()
        raise InfrastructureError(f"the store's servers do not start: {'; '.join(errors)}")
    return server, [text for text, _, _ in told] if rank == 0 else None


def on_interface(uri: str) -> str:
    """Puts in its address where the host of a TCP address is a network interface of this machine.

    Args:
        uri: where to listen, ``grpc+tcp://hsn0:0``.

    Raises:
        InvalidValueError: the interface has no IPv4 address.
    """
    import psutil

    scheme, _, place = uri.partition("://")
    name, _, port = place.rpartition(":")
    if scheme not in ("grpc+tcp", "grpc+tls"):  # Thallium knows interfaces by itself
        return uri
    found = psutil.net_if_addrs().get(name)
    if found is None:
        return uri
    addresses = [str(one.address) for one in found if one.family == socket.AF_INET]
    if not addresses:
        raise InvalidValueError(f"{uri!r}: the interface {name} has no IPv4 address")
    return f"{scheme}://{addresses[0]}:{port}"
