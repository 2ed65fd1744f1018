"""The stores that a server follows: where they are found, and where their copies lie."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from parsl_tl.errors import InvalidValueError, ParslTLError
from parsl_tl.native import native
from parsl_tl.store.connection import REPLICA, find_servers
from parsl_tl.store.token import read_common_token
from parsl_tl.store.transports import connect

if TYPE_CHECKING:
    from parsl_tl._native import Channel, Engine

FOLDER: Final = "followed"
"""The folder, in that of the server's own store, that holds the copies of followed stores."""

_TIMEOUT: Final = 10.0
_Route = tuple[list["Channel"], list[str], bytes | None]


class FollowedStores:
    """Other stores, followed in the background until it is closed."""

    def __init__(
        self,
        names: Sequence[str],
        engine: Engine,
        *,
        budget: int | None = None,
        replicate: bool = False,
        threads: int = 4,
    ) -> None:
        """Begins to follow.

        Args:
            names: of each store, what ``open_store`` takes for its servers: connection strings or
                address files. The nearest first. An address file may come later, and change.
            engine: of the store that follows.
            budget: bytes of weights of other stores that are kept; None for no limit.
            replicate: bring all weights here, needed or not.
            threads: of the server. One is left free of pulling, so that two servers that follow
                each other never wait for each other.

        Raises:
            InvalidValueError: a connection string that is none, or a store that is named twice.
            StoreError: what is known of a store cannot be opened.
        """
        if len(set(names)) != len(names):
            raise InvalidValueError(f"{list(names)} names a store twice; follow each of them once")
        replicas = next((name for name in names if REPLICA in name), None)
        if replicas is not None:
            raise InvalidValueError(
                f"follow={replicas!r} names a replica; a store is followed where it is, so name "
                "its own servers alone"
            )
        self.native = native.Following(
            folder=f"{engine.folder}/{FOLDER}",
            home=engine,
            budget=budget,
            replicates=replicate,
            most_pulling=max(1, threads - 1),
        )
        self._files = {name: _files_of(name) for name in names}
        self._seen = {name: _texts_of(files) for name, files in self._files.items()}
        self._lock = threading.Lock()
        for name in names:
            channels, addresses, token = self._route(name)
            self.native.follow(name, channels, addresses, token, _TIMEOUT)

    def _route(self, name: str) -> _Route:
        if None in self._seen[name]:
            return [], [], None  # its server has not started yet
        servers = find_servers(name)
        token = read_common_token(server.token_file for server in servers)
        return [connect(server) for server in servers], [s.address for s in servers], token

    def refresh(self) -> list[str]:
        """Looks whether address files have changed: servers that were started anew elsewhere.

        Returns:
            What is wrong with a file.
        """
        problems = []
        with self._lock:
            for name, files in self._files.items():
                texts = _texts_of(files)
                if texts == self._seen[name]:
                    continue
                self._seen[name] = texts
                try:
                    self.native.reroute(name, *self._route(name))
                except ParslTLError as error:
                    problems.append(f"{name}: {error}")
        return problems

    def close(self) -> None:
        """Follows no further."""
        self.native.stop()


def _files_of(name: str) -> list[Path]:
    return [Path(word).expanduser() for word in name.split() if "://" not in word]


def _texts_of(files: Sequence[Path]) -> list[str | None]:
    """What the files hold; None for one that cannot be read, or is empty."""
    texts: list[str | None] = []
    for file in files:
        try:
            texts.append(file.read_text().strip() or None)
        except (OSError, UnicodeDecodeError):
            texts.append(None)
    return texts
