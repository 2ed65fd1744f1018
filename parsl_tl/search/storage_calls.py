"""A DeepHyper storage as the workers see it: calls that travel to the process that searches.

DeepHyper's own storages are either of one process or need a server of their own. Run functions ask
theirs for the status of their job, and stoppers for what other evaluations have recorded.
"""

from __future__ import annotations

import itertools
import os
import pickle
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from parsl_tl.errors import JobStorageError

# DeepHyper's `Storage`, named here so that workers need not import DeepHyper, which takes seconds
# and nearly 200 MB.
METHODS = frozenset(
    {
        "create_new_job",
        "create_new_search",
        "load_all_job_ids",
        "load_all_search_ids",
        "load_job",
        "load_job_status",
        "load_jobs",
        "load_metadata_from_all_jobs",
        "load_out_from_all_jobs",
        "load_search",
        "load_search_value",
        "store_job",
        "store_job_in",
        "store_job_metadata",
        "store_job_out",
        "store_job_status",
        "store_search_value",
    }
)
_DEADLINE = 60.0


class StorageAddress(NamedTuple):
    """Where a storage is served.

    Attributes:
        endpoints: of one server, by all names that a worker may know its machine by.
        server_key: the server's public key; who does not know it cannot talk to the server.
    """

    endpoints: tuple[str, ...]
    server_key: bytes


class WorkerStorage:
    """A storage whose every call is answered by a ``StorageServer``; travels in pickles.

    It connects when it is first asked something, and raises ``JobStorageError`` if the
    server does not answer.
    """

    def __init__(self, address: StorageAddress) -> None:
        """Prepares it.

        Args:
            address: of the server.
        """
        self._address = address

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._address,)

    def is_connected(self) -> bool:
        """Returns True: it connects by itself."""
        return True

    def connect(self) -> WorkerStorage:
        """Returns the storage itself."""
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in METHODS:
            raise AttributeError(name)
        return partial(_connection(self._address).call, name)


class _Connection:
    """One socket to a server, shared by the threads of a process."""

    def __init__(self, address: StorageAddress) -> None:
        import zmq

        self._address = address
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._socket: Any = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        # Only to where a connection stands, since not every name of the server is right for here.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.SNDTIMEO, int(1000 * _DEADLINE))
        self._socket.setsockopt(zmq.RCVTIMEO, int(1000 * _DEADLINE))
        public, secret = zmq.curve_keypair()
        self._socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        self._socket.setsockopt(zmq.CURVE_SERVERKEY, address.server_key)
        for endpoint in address.endpoints:
            self._socket.connect(endpoint)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        import zmq

        number = next(self._numbers)
        with self._lock:
            try:
                self._socket.send(pickle.dumps((number, method, args, kwargs)))
                while True:
                    answered, value, error = pickle.loads(self._socket.recv())
                    if answered == number:  # and not what an interrupted call waited for
                        break
            except zmq.Again:
                raise JobStorageError(
                    f"the search's storage at {' or '.join(self._address.endpoints)} does not "
                    f"answer for {_DEADLINE:.0f} seconds; if the search runs, let workers reach "
                    "that port, or give the evaluator a storage=RedisStorage(...)"
                ) from None
        if error is not None:
            raise error
        return value


_connections: dict[tuple[int, StorageAddress], _Connection] = {}
_connecting = threading.Lock()


def _connection(address: StorageAddress) -> _Connection:
    with _connecting:
        key = os.getpid(), address  # sockets do not outlive a fork
        if key not in _connections:
            _connections[key] = _Connection(address)
        return _connections[key]
