"""Workers on other nodes see the search's models, and no others under the same path or address."""

from __future__ import annotations

import logging
import os
import socket

from parsl_tl.errors import StoreElsewhereError, StoreError
from parsl_tl.store.identity import folder_of, identity_of
from parsl_tl.store.uri import is_remote
from parsl_tl.transfer.connections import asking
from parsl_tl.transfer.model_files import folder_identity

logger = logging.getLogger(__name__)


def check_same_store(uri: str, expected: str) -> None:
    """Compares the store that this process sees with the search's.

    A path that is local to each node gives every node a store of its own: no worker would find the
    models of the others, and those models would be missing at the end. A server that came back with
    another folder has none of them either.

    Args:
        uri: of an embedded store, or of one server.
        expected: its identity where the search runs.

    Raises:
        StoreElsewhereError: it is another one, or none.
    """
    if is_remote(uri):
        _check_server(uri, expected)
    else:
        advice = "serve it (parsl-tl store serve)"
        _compare("store", str(folder_of(uri)), identity_of(uri), expected, advice)


def check_same_folder(folder: str | os.PathLike[str], expected: str) -> None:
    """Compares the folder of models that this process sees with the search's.

    Args:
        folder: of a transfer method that keeps files.
        expected: its identity where the search runs.

    Raises:
        StoreElsewhereError: it is another one, or none.
    """
    advice = "keep the models in a store (--transfer store)"
    _compare("folder of models", os.fspath(folder), folder_identity(folder), expected, advice)


def _compare(kind: str, path: str, found: str | None, expected: str, advice: str) -> None:
    if found != expected:
        what = f"there is no {kind}" if found is None else f"there is another {kind} ({found})"
        raise StoreElsewhereError(
            f"on node {socket.gethostname()}, {what} in {path}, where the search has its own "
            f"({expected}); put it in a folder that all nodes see, or {advice}"
        )


def _check_server(uri: str, expected: str) -> None:
    try:
        with asking(uri) as store:
            found = store.identities
    except StoreError as error:  # the evaluation goes on without it, or says what is wrong
        logger.warning("which store the server has is not known: %s", error)
        return
    if len(found) == 1 and found != [expected]:
        raise StoreElsewhereError(
            f"from node {socket.gethostname()}, {uri} leads to store {found[0]}, and the search "
            f"has store {expected}: give the server its folder back"
        )
