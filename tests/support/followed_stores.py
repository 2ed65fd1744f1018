"""A site whose server follows another site's, within this process, for tests."""

import fcntl
import time
from contextlib import ExitStack, contextmanager

from parsl_tl import open_store
from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.following import FOLDER
from parsl_tl.store.serving import ServerSettings, StoreServer
from parsl_tl.store.transports import connect


class Site:
    """A server of a folder, and a client of it; stopped and started again at one address."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.settings = settings
        self.address = "grpc+tcp://127.0.0.1:0"
        self.server = self._store = None
        self.start()

    def start(self):
        self.server = StoreServer(
            ServerSettings(address=self.address, folder=self.folder, **self.settings)
        )
        self.address = self.server.connection.address

    @property
    def uri(self):
        return str(self.server.connection)

    @property
    def store(self):
        if self._store is None:
            self._store = open_store(self.uri, timeout=20, retry_seconds=20)
        return self._store

    def stop(self):
        if self._store is not None:
            self._store.close()
            self._store = None
        if self.server is not None:
            self.server.close(2)
            self.server = None

    def followed(self):
        """What the server tells of the stores that it follows."""
        connection = Connection.parse(self.address)
        return native.ServerConnection(connect(connection), self.address, None, 10, 5).followed()

    def copies(self):
        """The folders of the copies of followed stores."""
        return sorted((self.folder / FOLDER).glob("[0-9a-f]*/FORMAT"))


def put(store, tools, model_id, *arch, **options):
    """Stores a model whose quality is its id; returns its weights."""
    graph = tools.graph(*arch)
    weights = tools.weights(graph, model_id)
    store.put(model_id, graph, weights, quality=float(model_id), **options)
    return weights


def wait_for(condition, what, seconds=30):
    """Until the condition holds; what others do in the background has no other end."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in {seconds} s: {what}"
        time.sleep(0.02)


@contextmanager
def two_sites(folder, **settings):
    """A leader, and a server that follows it."""
    with ExitStack() as stack:
        leader = Site(folder / "leader")
        stack.callback(leader.stop)
        follower = Site(folder / "follower", follow=[leader.uri], **settings)
        stack.callback(follower.stop)
        yield leader, follower


def catch_up(leader, follower):
    """Until the follower's copy of the leader's log is that log, byte for byte."""

    def is_current():
        [path] = follower.copies() or [None]
        log = leader.folder / "log"
        if path is None or (path.parent / "log").read_bytes() != log.read_bytes():
            return False
        taken_in(path.parent)
        return True

    wait_for(is_current, "the copy is the leader's log")


def taken_in(copy):
    """Waits until what is in the copy's log is what its server tells, which is a moment later."""
    with (copy / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as long as the server writes, it is the server's
