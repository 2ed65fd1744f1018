"""Servers of a store that were replaced on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.token import read_common_token
from parsl_tl.store.transports import connect


@dataclass(frozen=True)
class Adoption:
    """What it takes to make servers a store.

    Attributes:
        before: the identity of the server in each place as the others knew it; None where no
            server with models knows one.
        stores: the identities of the servers now.
        lost_models: models that lack layers, since these lived on servers that are gone.
        lost_holds: models that are gone, and for which layers were kept.
    """

    before: list[str | None]
    stores: list[str]
    lost_models: list[int]
    lost_holds: list[int]


def adopt(
    servers: Sequence[Connection], *, only_look: bool = False, timeout: float = 30.0
) -> Adoption:
    """Makes servers the store from now on, and gives up what others had.

    Models that lack layers are retired, and what was kept for models that are gone is freed.
    Repeating it, should it fail in between, completes it.

    Args:
        servers: all servers, in their order.
        only_look: change nothing.
        timeout: seconds that a server may take to answer.

    Returns:
        What is given up.

    Raises:
        InvalidValueError: a server holds models of another place, or of another number of servers.
        StoreError: a server does not answer, or refuses.
    """
    found = native.adopt(
        [connect(server) for server in servers],
        [server.address for server in servers],
        token=read_common_token(server.token_file for server in servers),
        timeout=timeout,
        retry_seconds=timeout,
        only_look=only_look,
    )
    return Adoption(**found)
