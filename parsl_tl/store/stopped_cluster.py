"""Reading the models of a cluster whose servers do not run: they are served in this process."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from parsl_tl.errors import StoreUnreachableError
from parsl_tl.store.connection import cluster_folder, cluster_places
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
    folder = cluster_folder(uri)
    stores = [place / "store" for place in cluster_places(folder)]
    missing = [str(store) for store in stores if not (store / "FORMAT").is_file()]
    if missing or not stores:
        raise StoreUnreachableError(
            f"the store's servers in {folder} are not up, and models are missing there "
            f"({', '.join(missing) or 'no server had any'}): they may be on the nodes' disks"
        )
    if len(stores) == 1:
        return EmbeddedStore(stores[0], read_only=True)
    return _ServedHere(stores)


class _ServedHere(RemoteStore):
    """A store of several servers that live as long as it is open."""

    def __init__(self, stores: list[Path]) -> None:
        self._sockets = tempfile.mkdtemp(prefix="parsl-tl-")
        self._own: list[StoreServer] = []
        try:
            for number, store in enumerate(stores):
                address = f"grpc+unix://{self._sockets}/{number}"
                settings = ServerSettings(address=address, folder=store, read_only=True)
                self._own.append(StoreServer(settings))
            super().__init__([server.connection for server in self._own], read_only=True)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """See ``ModelStore.close``."""
        super().close()
        self._end()

    def _end(self) -> None:
        while self._own:
            self._own.pop().close()
        shutil.rmtree(self._sockets, ignore_errors=True)
