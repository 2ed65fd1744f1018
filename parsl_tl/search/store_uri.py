"""The store's URI of a campaign, so that it means the same to every worker on every host."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from parsl_tl.cluster.request import ClusterRequest, is_request
from parsl_tl.errors import (
    CampaignError,
    InvalidValueError,
    StoreBusyError,
    StoreIdentityError,
    StoreUnreachableError,
)
from parsl_tl.store.connection import (
    CLUSTER,
    REPLICA,
    Connection,
    cluster_folder,
    find_replicas,
    find_servers,
)
from parsl_tl.store.identity import folder_of
from parsl_tl.store.uri import EMBEDDED, is_remote, open_store

logger = logging.getLogger(__name__)


def resolve(uri: str) -> str:
    """Resolves what only this process knows: address files, environment variables, its folder.

    Names of token files and certificates stay names: every host has files of its own there.

    Args:
        uri: as ``open_store`` takes it; ``embedded:`` alone stays as it is.

    Raises:
        InvalidValueError: the URI is of no known kind, or an address file cannot be read.
    """
    if is_request(uri):
        return str(ClusterRequest.parse(uri))
    if uri.startswith(CLUSTER):  # whose servers may be elsewhere tomorrow
        return f"{CLUSTER}{cluster_folder(uri)}"
    if is_remote(uri):
        servers = [str(_absolute(server)) for server in find_servers(uri)]
        replicas = [f"{REPLICA}{_absolute(server)}" for server in find_replicas(uri)]
        return " ".join([*servers, *replicas])
    if uri == EMBEDDED:
        return uri
    if not uri.startswith(EMBEDDED):
        raise InvalidValueError(
            f"store={uri!r} is no store; use embedded:<folder>, the connection strings of servers "
            "(grpc+tcp://host:port, ofi+tcp://ip:port), address files that exist, MODEL_SERVERS, "
            "or cluster"
        )
    return f"{EMBEDDED}{folder_of(uri)}"


def _absolute(server: Connection) -> Connection:
    return replace(
        server, token_file=_absolute_file(server.token_file), ca=_absolute_file(server.ca)
    )


def _absolute_file(name: str | None) -> str | None:
    # A home directory may lie elsewhere where a worker runs.
    return name if not name or name.startswith("~") else str(Path(name).absolute())


def check_relocation(own: str, given: str) -> str:
    """Returns the URI with which a campaign goes on.

    Servers that were started again may have other addresses. Models are known by their ids, so
    nothing else changes.

    Args:
        own: the campaign's URI so far.
        given: the one that is wanted now.

    Raises:
        CampaignError: one of them names no servers, and they differ.
        InvalidValueError: see ``resolve``.
    """
    resolved = resolve(given)
    if is_request(own) and is_request(resolved):
        return _check_cluster(ClusterRequest.parse(own), ClusterRequest.parse(resolved))
    are_servers = all(is_remote(uri) and not is_request(uri) for uri in (own, resolved))
    if resolved != own and not are_servers:
        raise CampaignError(
            f"the campaign has store={own!r}, not {given!r}; only the addresses of a store's "
            "servers may change. Leave the option out, or start a new campaign in another folder"
        )
    return resolved


def _check_cluster(own: ClusterRequest, given: ClusterRequest) -> str:
    if given.servers not in (None, own.servers):
        raise CampaignError(
            f"the campaign's store has {own.servers} servers, which stays so, and not "
            f"{given.servers}; leave the number out"
        )
    return str(replace(given, servers=own.servers))


def check_opens(uri: str, *, may_be_away: bool) -> list[str]:
    """Opens the store once, so that what is wrong with it is reported before anything is evaluated.

    Args:
        uri: of the store.
        may_be_away: servers that do not answer are no error.

    Returns:
        The identities of its servers, or of its folder; nothing if they do not answer.

    Raises:
        StoreError: the store cannot be opened.
        InvalidValueError: the servers are not those of one store, or not in its order.
    """
    try:
        with open_store(uri) as store:
            return store.identities
    except (StoreUnreachableError, StoreBusyError) as error:
        if not may_be_away:
            raise type(error)(f"{error}; start the store's servers before the search") from error
        logger.warning("the search goes on without its store: %s", error)
        return []


def check_identities(known: list[str], found: list[str]) -> None:
    """Compares the store with the one that the campaign had before.

    Several servers know each other, and refuse one that came back with another folder until
    ``parsl-tl store adopt``. Of a store with one server, or none, only its campaigns remember
    which it was.

    Args:
        known: identities so far; nothing for a campaign that is new.
        found: identities now; nothing if servers do not answer.

    Raises:
        StoreIdentityError: they differ.
    """
    if len(found) == 1 and known and known != found:
        raise StoreIdentityError(
            f"the campaign's models are in store {' '.join(known)}, and its URI now leads to store "
            f"{' '.join(found)}: give the server its folder back, or go on without these models by "
            "removing store_ids from the campaign's config.json"
        )
