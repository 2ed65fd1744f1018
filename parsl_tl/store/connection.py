"""Connection strings: where the servers of a store are, and what it takes to get in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote

from parsl_tl.errors import InvalidValueError, StoreUnreachableError

SERVERS_VARIABLE: Final = "MODEL_SERVERS"
"""Environment variable that lists the servers of a store, separated by spaces."""
SITE_STORE_VARIABLE: Final = "PARSL_TL_SITE_STORE"
"""Names the store of the site that a worker is at, in place of its search's."""
TOKEN_VARIABLE: Final = "MODEL_SERVERS_TOKEN_FILE"
"""Environment variable that names the file with the servers' token."""

EMBEDDED: Final = "embedded:"
"""What the URI of a store in a local folder starts with."""
REPLICA: Final = "replica="
"""Stands before a server that follows the others, and answers in their name while they are away."""
CLUSTER: Final = "cluster:"
"""What the URI of a store on the nodes of a Parsl configuration starts with; its folder follows."""
FLIGHT_SCHEMES: Final = ("grpc+tcp", "grpc+tls", "grpc+unix")
"""Schemes that Arrow Flight serves."""
_OPTIONS = ("token_file", "ca", "provider_id")


def is_thallium(scheme: str) -> bool:
    """Returns whether a scheme is one of Mercury's: ``ofi+tcp``, ``ofi+verbs``, ``na+sm``, ..."""
    return scheme.partition("+")[0] in ("ofi", "na", "ucx", "bmi")


def is_remote(uri: str) -> bool:
    """Returns whether a URI names servers: connection strings, address files, MODEL_SERVERS."""
    if uri.startswith(CLUSTER):
        return True
    words = [word.removeprefix(REPLICA) for word in uri.split()]
    if not words or words[0].startswith(EMBEDDED):
        return False
    return all("://" in word or word == SERVERS_VARIABLE or Path(word).is_file() for word in words)


@dataclass(frozen=True)
class Connection:
    """One server.

    Attributes:
        address: what the transport takes, ``ofi+tcp://10.0.0.1:4000``.
        token_file: the file with the secret that the server and its clients share.
        ca: the file with the certificate (PEM) that a TLS server's certificate is checked with;
            the system's authorities if there is none.
        provider_id: which provider behind a Thallium address.
    """

    address: str
    token_file: str | None = None
    ca: str | None = None
    provider_id: int = 0

    @property
    def scheme(self) -> str:
        """What stands before ``://``."""
        return self.address.partition("://")[0]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``scheme://address``, with ``?token_file=...&ca=...&provider_id=...`` behind it.

        Raises:
            InvalidValueError: an unknown scheme or option, or no address.
        """
        address, _, query = text.partition("?")
        scheme, separator, rest = address.partition("://")
        if not separator or not (scheme in FLIGHT_SCHEMES or is_thallium(scheme)):
            raise InvalidValueError(
                f"{text!r} is no store's server; write grpc+tcp://host:port, grpc+tls://host:port, "
                "grpc+unix:///path, or a Mercury address such as ofi+tcp://10.0.0.1:4000"
            )
        # Mercury completes "na+sm://" by itself.
        if not rest and not is_thallium(scheme):
            raise InvalidValueError(f"{text!r} names no address behind {scheme}://")
        try:
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        except ValueError as error:
            raise InvalidValueError(
                f"{text!r}: options have the form ?name=value: {error}"
            ) from None
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise InvalidValueError(
                f"{text!r} has an unknown option {unknown[0]!r}; there are {', '.join(_OPTIONS)}"
            )
        return cls(
            address=unquote(address) if scheme == "grpc+unix" else address,
            token_file=options.get("token_file") or None,
            ca=options.get("ca") or None,
            provider_id=_provider_id(options.get("provider_id", "0")),
        )

    def __str__(self) -> str:
        options = {
            "token_file": self.token_file,
            "ca": self.ca,
            "provider_id": str(self.provider_id) if self.provider_id else None,
        }
        query = "&".join(f"{name}={quote(value)}" for name, value in options.items() if value)
        address = self.address
        if self.scheme == "grpc+unix":  # spaces separate connection strings
            address = f"grpc+unix://{quote(address.removeprefix('grpc+unix://'))}"
        return f"{address}?{query}" if query else address


def _provider_id(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise InvalidValueError(f"provider_id={text!r} must be a number from 0 to 65535")
    return int(text)


def find_servers(
    uri: str, *, token_file: str | None = None, environment: Mapping[str, str] = os.environ
) -> list[Connection]:
    """Reads what names the servers of a store.

    Args:
        uri: connection strings and names of address files, separated by spaces. An address file
            is what ``parsl-tl store serve --address-file`` writes: connection strings, one in a
            line. ``MODEL_SERVERS`` stands for what that environment variable holds,
            ``cluster:<folder>`` for the servers of a ``StoreCluster``. Replicas
            (``replica=grpc+tcp://host:port``) are left out, see ``find_replicas``.
        token_file: for servers that name none; else the one in ``MODEL_SERVERS_TOKEN_FILE``.
        environment: where the variables are looked up.

    Returns:
        The servers, in the order that decides which models live where.

    Raises:
        InvalidValueError: nothing is named, a file is not there, or a server comes twice.
        StoreUnreachableError: the servers of a cluster are not up.
    """
    words = [word for word in _words(uri, environment) if not word.startswith(REPLICA)]
    servers = _connections(words, uri, token_file, environment)
    if not servers:
        raise InvalidValueError(f"{uri!r} names no server")
    return servers


def find_replicas(
    uri: str, *, token_file: str | None = None, environment: Mapping[str, str] = os.environ
) -> list[Connection]:
    """Reads which servers stand in for those of a store, in the order in which they are asked.

    Args:
        uri: see ``find_servers``, as for the next two.
        token_file: see there.
        environment: see there.

    Raises:
        InvalidValueError: a file is not there, or a server comes twice.
    """
    if uri.startswith(CLUSTER):
        return []
    words = _words(uri, environment)
    named = [word.removeprefix(REPLICA) for word in words if word.startswith(REPLICA)]
    replicas = _connections(named, uri, token_file, environment)
    addresses = {server.address for server in find_servers(uri, environment=environment)}
    both = next((replica.address for replica in replicas if replica.address in addresses), None)
    if both:
        raise InvalidValueError(f"{uri!r} names {both} as a server and as its own replica")
    return replicas


def _words(uri: str, environment: Mapping[str, str]) -> list[str]:
    words = _cluster_files(uri) if uri.startswith(CLUSTER) else uri.split()
    if words != [SERVERS_VARIABLE]:
        return words
    words = environment.get(SERVERS_VARIABLE, "").split()
    if not words:
        raise InvalidValueError(
            f"the environment variable {SERVERS_VARIABLE} is empty; set it to the servers' "
            "connection strings, separated by spaces"
        )
    return words


def _connections(
    words: Sequence[str], uri: str, token_file: str | None, environment: Mapping[str, str]
) -> list[Connection]:
    servers: list[Connection] = []
    for word in words:
        lines = [word] if "://" in word else _read_address_file(Path(word))
        servers.extend(Connection.parse(line) for line in lines)
    keys = [(server.address, server.provider_id) for server in servers]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise InvalidValueError(f"server {twice[0]} is named twice in {uri!r}")
    token = token_file or environment.get(TOKEN_VARIABLE) or None
    return [
        replace(server, token_file=server.token_file or token) if token else server
        for server in servers
    ]


def cluster_folder(uri: str) -> Path:
    """Returns the folder of a cluster that a URI names.

    Raises:
        InvalidValueError: it holds none.
    """
    folder = Path(uri.removeprefix(CLUSTER).removeprefix("//")).expanduser().absolute()
    if not (folder / "generation").is_file():
        raise InvalidValueError(
            f"{uri!r}: there is no cluster of store servers in {folder}; name the folder that a "
            "StoreCluster was given, or the campaign's folder cluster"
        )
    return folder


def _cluster_files(uri: str) -> list[str]:
    """Returns the address files of a cluster's servers, in their order."""
    folder = cluster_folder(uri)
    places = cluster_places(folder)
    missing = [place.name for place in places if not (place / "address").is_file()]
    if missing or not places:
        raise StoreUnreachableError(
            f"the store's servers in {folder} are not up ({', '.join(missing) or 'none'}); they "
            "are while a search or a StoreCluster over this folder runs"
        )
    return [str(place / "address") for place in places]


def cluster_places(folder: Path) -> list[Path]:
    """Returns the folders of a cluster's servers, in their order."""
    return sorted(folder.glob("server.*"), key=lambda path: int(path.suffix[1:]))


def _read_address_file(path: Path) -> list[str]:
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"{str(path)!r} is neither a server's connection string (scheme://address) nor an "
            f"address file that can be read: {error}"
        ) from error
    if not lines:
        raise InvalidValueError(f"the address file {path} is empty; has the server started?")
    return lines
