"""From a URI to a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from parsl_tl.deprecation import renamed_arguments
from parsl_tl.errors import InvalidValueError, StoreUnreachableError
from parsl_tl.store.connection import CLUSTER, EMBEDDED, find_replicas, find_servers, is_remote

__all__ = ["EMBEDDED", "is_remote", "open_store"]

if TYPE_CHECKING:
    from parsl_tl.store.embedded import Compression, Durability, Shared
    from parsl_tl.store.model_store import ModelStore


@renamed_arguments(patience="retry_seconds")
def open_store(
    uri: str,
    *,
    read_only: bool = False,
    durability: Durability | None = None,
    checksums: bool | None = None,
    compression: Compression | None = None,
    shared: Shared | None = None,
    damaged: bool | None = None,
    token_file: str | None = None,
    timeout: float | None = None,
    retry_seconds: float | None = None,
) -> ModelStore:
    """Opens a model store.

    Args:
        uri: ``embedded:<folder>``, a folder on a local disk that many processes of the node may
            open at once, made if it is missing or empty; or servers: connection strings such as
            ``ofi+tcp://10.0.0.1:4000`` or ``grpc+tcp://host:4000``, or address files that servers
            wrote, separated by spaces, with ``replica=`` before those that follow the store and
            are read from while it is away; or ``MODEL_SERVERS``, for those that the environment
            variable of this name lists; or ``cluster:<folder>``, for those of a ``StoreCluster``,
            whose models can be read from the folder when it does not run.
        read_only: neither make nor change anything.
        durability: ``"os"`` (as None) survives the death of any process, ``"disk"`` also a power
            cut. What servers do is set when they start, as in the next two.
        checksums: of weights: computed when they are written, verified when they are first read
            (as None).
        compression: ``"none"``, ``"lz4"`` or ``"zstd"`` for the weights of a new store; an
            existing one is what it was made as.
        shared: ``"group"`` makes a new store that the folder's group may use too; None makes one
            for its owner alone (modes 0700 and 0600).
        damaged: with ``read_only``, read a store whose log is damaged up to the damage, where it
            is otherwise refused.
        token_file: the file with the servers' token, where the connection strings name none; None
            looks into the environment variable ``MODEL_SERVERS_TOKEN_FILE``.
        timeout: seconds that a server may take to answer (30), see ``RemoteStore``.
        retry_seconds: for which a request is tried again (10).

    Returns:
        The store; a context manager.

    Raises:
        InvalidValueError: the URI is of no known kind, or names no folder; an option that does
            not go with it.
        StoreError: see ``EmbeddedStore`` and ``RemoteStore``.
    """
    for_folder = {
        "durability": durability,
        "checksums": checksums,
        "compression": compression,
        "shared": shared,
        "damaged": damaged,
    }
    for_servers = {"token_file": token_file, "timeout": timeout, "retry_seconds": retry_seconds}
    if is_remote(uri):
        _refuse(uri, for_folder, "is decided by the servers; give it to `parsl-tl store serve`")
        return _open_remote(uri, read_only, token_file, timeout, retry_seconds)
    if not uri.startswith(EMBEDDED):
        raise InvalidValueError(
            f"{uri!r} is no store; use embedded:<folder>, the connection strings of servers "
            "(grpc+tcp://host:port, ofi+tcp://ip:port), their address files, or MODEL_SERVERS"
        )
    _refuse(uri, for_servers, "is for servers")
    folder = uri.removeprefix(EMBEDDED).removeprefix("//")
    if not folder:
        raise InvalidValueError(
            "'embedded:' names no folder; write embedded:/scratch/run1, for example "
            "(only a campaign has a folder of its own to fill in)"
        )
    from parsl_tl.store.embedded import EmbeddedStore

    return EmbeddedStore(
        folder,
        read_only=read_only,
        durability=durability or "os",
        checksums=True if checksums is None else checksums,
        compression=compression,
        shared=shared,
        damaged=bool(damaged),
    )


def _refuse(uri: str, options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidValueError(f"{name}={value!r} does not go with {uri!r}: it {why}")


def _open_remote(
    uri: str,
    read_only: bool,
    token_file: str | None,
    timeout: float | None,
    retry_seconds: float | None,
) -> ModelStore:
    from parsl_tl.store.remote import RemoteStore

    try:
        servers = find_servers(uri, token_file=token_file)
    except StoreUnreachableError:
        if not (read_only and uri.startswith(CLUSTER)):
            raise
        from parsl_tl.store.stopped_cluster import open_stopped_cluster

        return open_stopped_cluster(uri)
    return RemoteStore(
        servers,
        replicas=find_replicas(uri, token_file=token_file),
        read_only=read_only,
        timeout=30.0 if timeout is None else timeout,
        retry_seconds=10.0 if retry_seconds is None else retry_seconds,
    )
