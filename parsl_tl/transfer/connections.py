"""This process's connections to stores: opened once, and left in peace while servers are away."""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from parsl_tl.errors import StoreUnreachableError

if TYPE_CHECKING:
    from parsl_tl.store import ModelStore
    from parsl_tl.store.connection import Connection

logger = logging.getLogger(__name__)

_Key = tuple[int, str]

# While a store is away it is asked for no more often than this. Others wait for no answer then.
_SECONDS_OF_REST = 5.0
# How long a server may take to answer, in seconds, beside the time that weights need by their size;
# and how long one that was away may take to say that it is back. An evaluation loses a donor rather
# than minutes.
_TIMEOUT = 10.0
_PROBE_TIMEOUT = 5.0


class _Outage(NamedTuple):
    """A store that did not answer.

    Attributes:
        message: what the error said.
        until: when (monotonic) it is worth asking again.
    """

    message: str
    until: float


# One connection per process and URI: workers are long-lived, and opening a store costs more than
# a query. The process id is part of the key, because a forked child must not use its parent's.
_connections: dict[_Key, ModelStore] = {}
_outages: dict[_Key, _Outage] = {}
_closers: list[Callable[[str | None], None]] = []
_lock = threading.Lock()


def connect(uri: str) -> ModelStore:
    """Returns this process's connection to a store, opened on first use.

    Raises:
        StoreUnreachableError: a server does not answer; at once if it did not moments ago.
        StoreError: the store cannot be opened.
    """
    from parsl_tl.store import open_store
    from parsl_tl.store.uri import is_remote

    key = (os.getpid(), uri)
    with _lock:
        if key not in _connections:
            _check_outage(key)
            try:
                _connections[key] = open_store(uri, timeout=_TIMEOUT if is_remote(uri) else None)
            except StoreUnreachableError as error:
                _note(key, error)
                raise
        return _connections[key]


@contextmanager
def asking(uri: str) -> Iterator[ModelStore]:
    """Gives the connection for questions that are not worth a long wait.

    A store that was away is first asked whether it is back, without retries; so an outage costs
    a process the client's retries once, and next to nothing for every evaluation after that. Where
    replicas are named, these answer.

    Raises:
        StoreUnreachableError: a server does not answer, or did not moments ago.
        StoreError: the store cannot be opened.
    """
    key = (os.getpid(), uri)
    with _lock:
        if not getattr(_connections.get(key), "replicas", ()):
            _check_outage(key)
    with _noting_outages(uri) as store:
        yield store


@contextmanager
def storing(uri: str, model_id: int) -> Iterator[ModelStore]:
    """Gives the connection for storing a model.

    If the server that the model belongs to was away, it is first asked whether it is back. Models
    of other servers are stored all the same.

    Raises:
        StoreUnreachableError: see ``asking``.
        StoreError: the store cannot be opened.
    """
    key = (os.getpid(), uri)
    with _lock:
        if _names_home(key, model_id):
            try:
                _check_outage(key)
            except StoreUnreachableError:
                if _names_home(key, model_id):  # and not another one, that is away too
                    raise
    with _noting_outages(uri) as store:
        yield store


def _names_home(key: _Key, model_id: int) -> bool:
    """Returns whether what went wrong last was that the model's own server is away."""
    outage = _outages.get(key)
    servers = getattr(_connections.get(key), "servers", ())
    if outage is None or not servers:
        return False
    address = re.escape(servers[model_id % len(servers)].address)
    return re.search(rf"{address}(?!\d)", outage.message) is not None


@contextmanager
def _noting_outages(uri: str) -> Iterator[ModelStore]:
    """Gives the connection, and remembers if a server turns out to be away."""
    store = connect(uri)
    try:
        yield store
    except StoreUnreachableError as error:
        _note((os.getpid(), uri), error)
        raise


def _note(key: _Key, error: StoreUnreachableError) -> None:
    _outages[key] = _Outage(str(error), time.monotonic() + _SECONDS_OF_REST)


def _check_outage(key: _Key) -> None:
    """Raises if the store was away and is not back."""
    from parsl_tl.store import open_store

    outage = _outages.get(key)
    if outage is None:
        return
    if time.monotonic() < outage.until:
        raise StoreUnreachableError(outage.message)
    try:
        with open_store(key[1], retry_seconds=0.0, timeout=_PROBE_TIMEOUT) as found:
            if any(getattr(found, "is_stood_in_for", ())):
                raise StoreUnreachableError(outage.message)
            has_moved = _servers(found) != _servers(_connections.get(key))
    except StoreUnreachableError as error:
        _note(key, error)
        raise
    logger.warning("the store answers again: %s", key[1])
    if has_moved:  # whoever has the old connection at the moment ends with it
        _connections.pop(key, None)
    del _outages[key]


def _servers(store: ModelStore | None) -> tuple[Connection, ...]:
    return getattr(store, "servers", ())


def before_disconnecting(close: Callable[[str | None], None]) -> None:
    """Has something called, with ``disconnect``'s argument, before connections are closed."""
    _closers.append(close)


def disconnect(uri: str | None = None) -> None:
    """Closes this process's connection to one store, or to all.

    What is still being stored in the background is waited for.
    """
    for close in _closers:
        close(uri)
    with _lock:
        for key in [key for key in _connections if _is_meant(key, uri)]:
            _connections.pop(key).close()
        for key in [key for key in _outages if _is_meant(key, uri)]:
            del _outages[key]


def _is_meant(key: _Key, uri: str | None) -> bool:
    return key[0] == os.getpid() and uri in (None, key[1])


atexit.register(disconnect)
