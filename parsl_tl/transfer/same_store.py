"""Workers on other nodes see the search's store, and not another folder under its path."""

from __future__ import annotations

import socket

from parsl_tl.errors import StoreElsewhereError
from parsl_tl.store.identity import folder_of, identity_of


def check_same_store(uri: str, expected: str) -> None:
    """Compares the store that this process sees with the search's.

    A path that is local to each node gives every node a store of its own: no worker would find the
    models of the others, and those models would be missing at the end.

    Args:
        uri: of an embedded store.
        expected: its identity where the search runs.

    Raises:
        StoreElsewhereError: it is another one, or none.
    """
    found = identity_of(uri)
    if found != expected:
        what = "there is no store" if found is None else f"there is another store ({found})"
        raise StoreElsewhereError(
            f"on node {socket.gethostname()}, {what} in {folder_of(uri)}, where the search has "
            f"its own ({expected}); put it in a folder that all nodes see, or serve it "
            "(parsl-tl store serve)"
        )
