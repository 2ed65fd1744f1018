"""A server of a store: the engine of one folder behind a transport."""

from __future__ import annotations

import ipaddress
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from parsl_tl.deprecation import renamed_arguments
from parsl_tl.errors import InvalidValueError, StorePermissionError
from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.following import FollowedStores
from parsl_tl.store.span_log import open_span_log
from parsl_tl.store.token import make_token
from parsl_tl.store.transports import read_pem, transport_module

if TYPE_CHECKING:
    # Not numpy, which serving does without.
    from parsl_tl.store.embedded import Compression, Shared

ServerDurability = Literal["memory", "os", "disk"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a server is started with.

    Attributes:
        address: where it listens, ``ofi+tcp://10.0.0.1:4000``, ``grpc+tcp://127.0.0.1:0``,
            ``grpc+unix:///run/user/1000/store.sock``, ...; port 0 picks a free one.
        folder: of the store, made if it is missing or empty. None only with ``"memory"``.
        threads: requests that are handled at once.
        memory_limit: bytes; None for no limit. With ``"memory"``, what models may take; otherwise
            weights that may be on their way at once.
        durability: ``"memory"`` keeps models as long as the server lives, in a folder on a file
            system in memory; ``"os"`` survives the death of any process, ``"disk"`` a power cut.
        provider_id: which provider behind a Thallium address this is.
        token_file: the file with the secret that clients have to know; made if it is not there.
        tls_cert: certificate (PEM), for ``grpc+tls``.
        tls_key: its key (PEM).
        insecure: let everybody in who reaches the address.
        compression: of a new store's weights.
        read_only: change nothing.
        shared: ``"group"`` lets the group use the folder of a new store, the socket and the
            address file; the token stays its owner's.
        damaged: with ``read_only``, serve what is before the damage of a log.
        trace: folder in which to record this server's part of its clients' spans; the folder
            ``events`` of a run, say. None records nothing.
        follow: other stores that are followed, nearest first; see ``FollowedStores``.
        follow_budget: bytes of their weights that are kept here; None for no limit.
        replicate: bring all of their weights here, needed or not.
    """

    address: str
    folder: str | os.PathLike[str] | None = None
    threads: int = 4
    memory_limit: int | None = None
    durability: ServerDurability = "os"
    provider_id: int = 0
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    compression: Compression | None = None
    read_only: bool = False
    shared: Shared | None = None
    damaged: bool = False
    trace: str | os.PathLike[str] | None = None
    follow: Sequence[str] = ()
    follow_budget: int | None = None
    replicate: bool = False


class StoreServer:
    """Serves a store until it is closed. A context manager.

    Raises:
        InvalidValueError: settings that do not go together, or an address that is taken.
        StoreError: see ``EmbeddedStore``.
        NativeModuleError: Thallium is asked for, and not there.
    """

    def __init__(self, settings: ServerSettings) -> None:
        check(settings)
        self.settings = settings
        module = transport_module(Connection.parse(settings.address).scheme)
        token = make_token(settings.token_file) if settings.token_file else None
        in_memory = settings.durability == "memory"
        self._temporary = _memory_folder() if in_memory and settings.folder is None else None
        try:
            folder = self._temporary or str(Path(settings.folder or "").expanduser().absolute())
            self._engine = native.Engine(
                folder,
                read_only=settings.read_only,
                sync=settings.durability == "disk",
                compression=settings.compression,
                shared=settings.shared == "group",
                damaged=settings.damaged,
            )
            self._spans = open_span_log(settings.trace, folder) if settings.trace else None
            self._followed = (
                FollowedStores(
                    settings.follow,
                    self._engine,
                    budget=settings.follow_budget,
                    replicate=settings.replicate,
                    threads=settings.threads,
                )
                if settings.follow
                else None
            )
            self._server = native.Server(
                self._engine,
                token,
                _version(),
                settings.durability,
                read_only=settings.read_only,
                memory_limit=settings.memory_limit or 0,
                keeps_in_memory=in_memory,
                spans=self._spans,
                following=self._followed.native if self._followed else None,
            )
            self._listener = module.listen(
                settings.address,
                self._server,
                threads=settings.threads,
                certificate=read_pem(settings.tls_cert) if settings.tls_cert else "",
                key=read_pem(settings.tls_key) if settings.tls_key else "",
                provider_id=settings.provider_id,
                shared=settings.shared == "group",
            )
        except BaseException:
            self._remove_temporary()
            raise
        self._closed = False

    @property
    def folder(self) -> str:
        """The store's folder."""
        return str(self._engine.folder)

    @property
    def connection(self) -> Connection:
        """What clients connect to, with the port that was picked."""
        settings = self.settings

        def absolute(path: str | None) -> str | None:
            return str(Path(path).expanduser().absolute()) if path else None

        is_tls = settings.address.startswith("grpc+tls")
        return Connection(
            address=self._listener.address,
            token_file=absolute(settings.token_file),
            # A certificate that signed itself is its own authority; others' is known anyway.
            ca=absolute(settings.tls_cert) if is_tls else None,
            provider_id=settings.provider_id,
        )

    def write_address_file(
        self, path: str | os.PathLike[str], connections: Sequence[str] = ()
    ) -> None:
        """Writes the connection string to a file, which appears whole or not at all.

        Args:
            path: of the file.
            connections: those of all servers of the store, where this one writes for all.

        Raises:
            StorePermissionError: the file cannot be written.
        """
        file = Path(path)
        partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        try:
            partial.touch(0o600, exist_ok=False)
            if self.settings.shared == "group":
                partial.chmod(0o660)  # whatever the umask says
            lines = connections or [str(self.connection)]
            partial.write_text("".join(f"{line}\n" for line in lines))
            partial.replace(file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorePermissionError(
                f"the address file {file} cannot be written: {error.strerror}"
            ) from error

    def wait(self, seconds: float) -> bool:
        """Waits at most this many seconds; returns whether the server was asked to stop."""
        return bool(self._server.wait_for_stop(seconds))

    def take_warnings(self) -> list[str]:
        """Returns what was repaired at opening or while running, since the last call."""
        failure = self._spans.take_failure() if self._spans is not None else ""
        followed = self._followed.refresh() if self._followed else []
        return [*self._engine.take_warnings(), *([failure] if failure else []), *followed]

    @renamed_arguments(patience="deadline")
    def close(self, deadline: float = 10.0) -> None:
        """Stops: no new requests, those at work come to their end, and the store is closed.

        Args:
            deadline: seconds from now, until which requests at work may go on.
        """
        if self._closed:
            return
        self._closed = True
        self._listener.stop(deadline)
        if self._followed:
            self._followed.close()
        self._engine.close()
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(settings: ServerSettings) -> None:
    """Refuses settings that do not go together.

    Raises:
        InvalidValueError: see ``ServerSettings``.
    """
    connection = Connection.parse(settings.address)
    if connection != Connection(connection.address):
        raise InvalidValueError(
            f"{settings.address!r}: a server takes its options by name, not behind the address"
        )
    if settings.durability not in ("memory", "os", "disk"):
        raise InvalidValueError(
            f"durability is {settings.durability!r}; choose 'memory', 'os' or 'disk'"
        )
    if settings.folder is None and settings.durability != "memory":
        raise InvalidValueError("name the folder of the store (--data), or choose 'memory'")
    if settings.shared not in (None, "group"):
        raise InvalidValueError(
            f"shared is {settings.shared!r}; choose 'group', or None for nobody"
        )
    if settings.follow and settings.read_only:
        raise InvalidValueError(
            "a server that follows other stores writes their copies into its folder; serve it "
            "without --read-only"
        )
    if not settings.follow and (settings.replicate or settings.follow_budget is not None):
        raise InvalidValueError("--replicate and --follow-budget go with --follow")
    if settings.replicate and settings.follow_budget is not None:
        raise InvalidValueError(
            f"follow_budget={settings.follow_budget}: a replica keeps all weights; leave the "
            "budget out, or --replicate"
        )
    if settings.damaged and not settings.read_only:
        raise InvalidValueError("a damaged store can be served with --read-only alone")
    if not 1 <= settings.threads <= 1024:
        raise InvalidValueError(f"threads={settings.threads} must be from 1 to 1024")
    if settings.memory_limit is not None and settings.memory_limit < 1:
        raise InvalidValueError(f"memory_limit={settings.memory_limit} must be at least 1 byte")
    has_tls = settings.tls_cert is not None and settings.tls_key is not None
    if connection.scheme == "grpc+tls" and not has_tls:
        raise InvalidValueError(
            "grpc+tls:// needs a certificate and its key (--tls-cert, --tls-key)"
        )
    if connection.scheme != "grpc+tls" and (settings.tls_cert or settings.tls_key):
        raise InvalidValueError(f"certificates are for grpc+tls://, not {connection.scheme}://")
    if not (settings.token_file or settings.insecure or is_private(connection)):
        raise InvalidValueError(
            f"{settings.address} can be reached by others, who need no token; give a token file "
            "(--token-file; it is made if it is not there), or say that this is wanted (--insecure)"
        )


def is_private(connection: Connection) -> bool:
    """Returns whether only users of this machine can reach an address."""
    if connection.scheme == "grpc+unix" or connection.scheme == "na+sm":
        return True
    place = connection.address.partition("://")[2]
    name, _, port = place.rpartition(":")
    host = (name if name and port.isdecimal() else place).strip("[]")
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)} if host else set()
        return bool(found) and all(ipaddress.ip_address(str(ip)).is_loopback for ip in found)
    except (OSError, ValueError):
        return False  # an interface's name, or nothing: all of them


def _memory_folder() -> str:
    shared = Path("/dev/shm")
    parent = str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None
    return tempfile.mkdtemp(prefix="parsl-tl-store-", dir=parent)


def _version() -> str:
    from importlib.metadata import version

    return version("parsl-tl")
