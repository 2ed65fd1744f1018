"""Answers what workers ask the storage of a search; see ``storage_calls``."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import pickle
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from parsl_tl.search.storage_calls import METHODS, StorageAddress

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

logger = logging.getLogger(__name__)


class StorageServer:
    """Serves a storage to workers, over ZeroMQ as Parsl itself does.

    Messages are encrypted, and the key that they need travels only with the evaluations.

    Attributes:
        address: what workers need to know.
    """

    def __init__(self, storage: Any, hosts: Iterable[str]) -> None:
        """Starts to answer.

        Args:
            storage: a DeepHyper storage.
            hosts: names of this machine that workers may reach it by.
        """
        import zmq

        names = sorted(set(hosts))
        self._storage = storage
        self._watching: set[Any] = set()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        public, secret = zmq.curve_keypair()
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        self._socket.setsockopt(zmq.CURVE_SERVER, 1)
        interface = "127.0.0.1" if all(map(_is_loopback, names)) else "*"
        port = self._socket.bind_to_random_port(f"tcp://{interface}")
        self.address = StorageAddress(tuple(f"tcp://{name}:{port}" for name in names), public)
        self._thread = threading.Thread(target=self._serve, name="storage-server", daemon=True)
        self._thread.start()

    def is_watched(self, job_id: Any) -> bool:
        """Returns whether a job's run function has looked at its status."""
        return job_id in self._watching

    def forget(self, job_id: Any) -> None:
        """Notes that a job is over."""
        self._watching.discard(job_id)

    def close(self) -> None:
        """Stops answering."""
        # The thread closes the socket, and ends: it waits for that, which the garbage collector
        # may ask for in any thread.
        ending = threading.Thread(target=self._context.term, daemon=True)
        ending.start()
        if threading.current_thread() is not self._thread:
            ending.join()
            self._thread.join()

    def _serve(self) -> None:
        import zmq

        with self._socket, contextlib.suppress(zmq.ContextTerminated):
            while True:
                sender, message = self._socket.recv_multipart()
                with contextlib.suppress(zmq.Again):  # who asked is gone
                    self._socket.send_multipart([sender, self._answer(message)], zmq.NOBLOCK)

    def _answer(self, message: bytes) -> bytes:
        number = -1
        try:
            number, method, args, kwargs = pickle.loads(message)
            if method not in METHODS:
                raise AttributeError(f"a storage has no {method!r}")
            if method == "load_job_status" and args:
                self._watching.add(args[0])
            value = getattr(self._storage, method)(*args, **kwargs)
            return pickle.dumps((number, value, None))
        except Exception as error:  # of the storage or of pickles: told to the one who asked
            logger.debug("a worker's call of the storage failed", exc_info=True)
            return pickle.dumps((number, None, _portable(error)))


def _portable(error: Exception) -> Exception:
    try:
        copied = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if isinstance(copied, type(error)) else RuntimeError(str(error))


def hosts_of(kernel: DataFlowKernel, labels: Iterable[str]) -> set[str]:
    """Returns the names by which the workers of executors may reach this machine."""
    from parsl.addresses import get_all_addresses

    hosts: set[str] = set()
    for label in labels:
        executor = kernel.executors[label]
        own = getattr(executor, "all_addresses", None) or getattr(executor, "address", None)
        if getattr(executor, "provider", None) is None and not own:
            hosts.add("127.0.0.1")  # threads of this process
        else:
            hosts.update([own] if isinstance(own, str) else own or get_all_addresses())
    return {host for host in hosts if ":" not in host}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
