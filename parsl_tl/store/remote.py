"""The store on servers, one or several, on this machine or others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parsl_tl.deprecation import renamed_arguments
from parsl_tl.errors import InvalidValueError
from parsl_tl.native import native
from parsl_tl.store.connection import REPLICA, Connection
from parsl_tl.store.model_store import ModelStore
from parsl_tl.store.token import read_common_token
from parsl_tl.store.transports import connect

if TYPE_CHECKING:
    import pyarrow as pa


class RemoteStore(ModelStore):
    """A store that servers keep. Model ``id`` lives on server ``id % n``.

    Queries go to all servers at once; layers that ancestors on several servers own are fetched
    from them in parallel, and mapped where a server is on this machine.
    """

    _engine: native.RemoteStore

    @renamed_arguments(patience="retry_seconds")
    def __init__(
        self,
        servers: Sequence[Connection],
        *,
        replicas: Sequence[Connection] = (),
        read_only: bool = False,
        timeout: float = 30.0,
        retry_seconds: float = 10.0,
        maps_segments: bool = True,
    ) -> None:
        """Connects to all servers.

        Args:
            servers: in the order with which the store was made.
            replicas: servers that follow the store. What is read is read from them, in this order,
                while a server does not answer; what is stored waits for it, or goes to a replica
                that was promoted.
            read_only: change nothing.
            timeout: seconds that a server may take to answer; weights get more by their size.
            retry_seconds: for which a request that fails is tried again. After that the server
                counts as gone for five seconds, in which requests fail at once.
            maps_segments: read the weights of a server on this machine by mapping its files.

        Raises:
            StoreUnreachableError: a server does not answer.
            StoreDeniedError: it does not accept the token, or its certificate is not trusted.
            InvalidValueError: the servers are not as many, or not in the order, that the store was
                made with.
            StoreIdentityError: one of them is another store than the others know (an empty disk,
                a swapped folder); ``parsl-tl store adopt`` tells them if that is on purpose.
        """
        for name, value in (("timeout", timeout), ("retry_seconds", retry_seconds)):
            if not 0 <= value < 1e9 or (name == "timeout" and value == 0):
                raise InvalidValueError(f"{name}={value!r} must be a number of seconds")
        token = read_common_token(server.token_file for server in (*servers, *replicas))
        self.servers = tuple(servers)
        self.replicas = tuple(replicas)
        self.uri = " ".join([*map(str, servers), *(f"{REPLICA}{server}" for server in replicas)])
        super().__init__(
            native.RemoteStore(
                [connect(server) for server in servers],
                [server.address for server in servers],
                token=token,
                timeout=timeout,
                retry_seconds=retry_seconds,
                read_only=read_only,
                maps_segments=maps_segments,
                replica_channels=[connect(server) for server in replicas],
                replica_addresses=[server.address for server in replicas],
            )
        )

    def __repr__(self) -> str:
        return f"RemoteStore({' '.join(server.address for server in self.servers)!r})"

    def models(self) -> pa.Table:
        """See ``ModelStore.models``."""
        table = super().models()
        # Each server gives its own in the order of storing.
        return table if len(self.servers) == 1 else table.sort_by("created")

    @property
    def identities(self) -> list[str]:
        """See ``ModelStore.identities``."""
        return list(self._engine.store_ids())

    def release_orphans(self) -> int:
        """See ``ModelStore.release_orphans``."""
        return int(self._engine.release_orphans())

    @property
    def is_stood_in_for(self) -> list[bool]:
        """Whether a replica answers in each server's name: that one was away when last asked."""
        return [self._engine.is_stood_in_for(i) for i in range(len(self.servers))]

    @property
    def is_mapped(self) -> list[bool]:
        """Whether each server's weights are read by mapping its files."""
        return [self._engine.is_mapped(i) for i in range(len(self.servers))]
