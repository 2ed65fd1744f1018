"""Folders of stores that no server runs for: they are served in this process, to be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from parsl_tl.errors import StoreUnreachableError
from parsl_tl.store.connection import Connection, cluster_folder, cluster_places
from parsl_tl.store.embedded import EmbeddedStore
from parsl_tl.store.model_store import ModelStore
from parsl_tl.store.remote import RemoteStore
from parsl_tl.store.serving import ServerSettings, StoreServer


def open_stopped_cluster(uri: str) -> ModelStore:
    """Opens the store that a ``StoreCluster`` left in its folder, to read it.

    Args:
        uri: ``cluster:<folder>``.

    Raises:
        InvalidValueError: there is no such folder.
        StoreUnreachableError: not all servers have left their models there.
        StoreError: see ``EmbeddedStore``.
    """
    stores = folders_of_stopped_cluster(uri)
    if len(stores) == 1:
        return EmbeddedStore(stores[0], read_only=True)
    return _ServedHere(stores)


def folders_of_stopped_cluster(uri: str) -> list[Path]:
    """Returns the folders of the stores that a cluster's servers left, in their order.

    Args:
        uri: ``cluster:<folder>``.

    Raises:
        InvalidValueError: there is no such folder.
        StoreUnreachableError: not all servers have left their models there.
    """
    folder = cluster_folder(uri)
    stores = [place / "store" for place in cluster_places(folder)]
    missing = [str(store) for store in stores if not (store / "FORMAT").is_file()]
    if missing or not stores:
        raise StoreUnreachableError(
            f"the store's servers in {folder} are not up, and models are missing there "
            f"({', '.join(missing) or 'no server had any'}): they may be on the nodes' disks"
        )
    return stores


@contextmanager
def served_here(folders: Sequence[Path]) -> Iterator[list[Connection]]:
    """Serves stores to this process alone, and changes nothing of them.

    Args:
        folders: of the servers of one store, in their order.

    Raises:
        StoreError: see ``EmbeddedStore``.
    """
    with ExitStack() as stack:
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="parsl-tl-"))
        servers = []
        for number, folder in enumerate(folders):
            address = f"grpc+unix://{sockets}/{number}"
            settings = ServerSettings(address=address, folder=folder, read_only=True)
            servers.append(stack.enter_context(StoreServer(settings)))
        yield [server.connection for server in servers]


class _ServedHere(RemoteStore):
    """A store of several servers that live as long as it is open."""

    def __init__(self, stores: list[Path]) -> None:
        with ExitStack() as stack:
            super().__init__(stack.enter_context(served_here(stores)), read_only=True)
            self._own = stack.pop_all()

    def close(self) -> None:
        """See ``ModelStore.close``."""
        super().close()
        self._own.close()
