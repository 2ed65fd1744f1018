"""The servers of a store on the nodes of a Parsl configuration, as the driver sees them."""

from __future__ import annotations

import logging
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from parsl_tl.cluster.nodes import choose_transport, pools_for, serving_executors
from parsl_tl.cluster.place import Place
from parsl_tl.cluster.plan import ClusterPlan
from parsl_tl.errors import InfrastructureError, InvalidValueError, StoreUnreachableError
from parsl_tl.node_store import with_node_store
from parsl_tl.sites.checks import is_on_nodes_disk
from parsl_tl.store.connection import CLUSTER
from parsl_tl.store.token import make_token
from parsl_tl.worker_pool import use_watched_pool

if TYPE_CHECKING:
    import parsl

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.2
_LONGEST_END = 600.0  # for copies of large stores


class StoreCluster:
    """A store with a server on each node of a Parsl configuration, beside the workers.

    ::

        cluster = StoreCluster(config, "/shared/run1/store", data="/local/scratch")
        with parsl.load(config), cluster:
            uri = cluster.wait()            # what open_store and run functions take, on any node
            results = [train(uri, job) for job in jobs]

    The servers start with the blocks and end with the ``with``. One that is killed is started again
    where it was. When its block has ended, the next one that Parsl starts takes its place, if its
    models can be had: they can where the block has ended in order (``drain_seconds``), and
    otherwise on the node that they are on. At the end they are brought to the cluster's folder,
    from which the next cluster over the same folder goes on, with servers on whichever nodes.

    Args:
        config: whose HighThroughputExecutors get the servers. Nothing of it may have started.
        folder: of the cluster, on a file system that driver and nodes see.
        servers: how many; by default one for each node that starts with the configuration. A folder
            that has a store keeps the number that it was made with.
        data: folder on a disk of each node's own, in which its server keeps its models while it
            runs. By default the nodes' ``TMPDIR`` where ``folder`` is on a network file system,
            which a store cannot lie on; and the folder itself otherwise.
        scheme: of the transport. By default the machine's fabric if the driver is in the nodes' own
            job and Thallium was compiled in, else ``grpc+tcp``.
        interface: network interface of the nodes that servers listen on. By default the machine's
            in its own job, and else the one on the way to the driver.
        durability: see ``ServerSettings``, as for the next two; without ``"memory"``.
        threads: requests of a server at once.
        memory_limit: bytes; weights that may be on their way at once.
        stale_seconds: without a sign of life, after which a server counts as gone with its node.
        trace: folder in which servers record their part of their clients' spans.

    Raises:
        ConfigError: the configuration has no such executors, or fewer nodes.
        InvalidValueError: an option that cannot be, or another number of servers than the folder's.
    """

    def __init__(
        self,
        config: parsl.Config,
        folder: str | os.PathLike[str],
        servers: int | None = None,
        *,
        data: str | os.PathLike[str] | None = None,
        scheme: str | None = None,
        interface: str | None = None,
        durability: str = "os",
        threads: int = 4,
        memory_limit: int | None = None,
        stale_seconds: float = 90.0,
        trace: str | os.PathLike[str] | None = None,
    ) -> None:
        if durability not in ("os", "disk"):
            raise InvalidValueError(f"durability is {durability!r}; choose 'os' or 'disk'")
        path = Path(folder).expanduser().absolute()
        self._executors = serving_executors(config)
        count = pools_for(self._executors, _servers(path, servers))
        chosen, interfaces = choose_transport(self._executors, scheme, interface)
        if data is None and not is_on_nodes_disk(path):
            data = os.environ.get("TMPDIR", "/tmp")
        self._plan = ClusterPlan(
            folder=str(path),
            generation=secrets.token_hex(4),
            servers=count,
            scheme=chosen,
            interfaces=interfaces,
            data=None if data is None else os.fspath(data),
            durability=durability,
            threads=threads,
            memory_limit=memory_limit,
            stale_seconds=stale_seconds,
            trace=None if trace is None else os.fspath(trace),
        )
        self.places = [Place(path, number) for number in range(count)]
        plan = ClusterPlan.path_of(path, self._plan.generation)
        for executor in self._executors:
            use_watched_pool(executor)
            executor.launch_cmd = with_node_store(executor.launch_cmd, plan)

    @property
    def uri(self) -> str:
        """The store's URI, which holds wherever its servers are at the moment."""
        return f"{CLUSTER}{self._plan.folder}"

    def start(self) -> None:
        """Lets the nodes start their servers, as entering the ``with`` does.

        Raises:
            StorePermissionError: the folder cannot be written.
        """
        for place in self.places:
            place.error_file.unlink(missing_ok=True)
        self._plan.publish()
        make_token(self._plan.token_file)

    def wait(self, seconds: float | None = None) -> str:
        """Waits until all servers answer; returns the store's URI.

        Args:
            seconds: at most; without a limit by default, since blocks may be in a queue.

        Raises:
            InfrastructureError: a server does not start, or no blocks do.
            StoreUnreachableError: the time is over.
            StoreError: the servers are up, and are not one store.
        """
        from parsl_tl.store import open_store

        begun = time.monotonic()
        while missing := [place.number for place in self.places if not self._is_up(place)]:
            self._check_executors()
            for place in self.places:
                if place.error_file.exists():
                    raise InfrastructureError(place.error_file.read_text())
            if seconds is not None and time.monotonic() - begun > seconds:
                raise StoreUnreachableError(
                    f"{len(missing)} of {len(self.places)} servers of the store are not up after "
                    f"{seconds:g} seconds; see {self.places[missing[0]].log} and the blocks"
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        open_store(self.uri, read_only=True).close()
        logger.info("the store's %d servers answer", len(self.places))
        return self.uri

    def stop(self, seconds: float = _LONGEST_END) -> None:
        """Ends the servers, and waits until their models are in the cluster's folder.

        Args:
            seconds: at most; what was not brought by then is told in the log.
        """
        self._plan.stop_file.touch()
        deadline = time.monotonic() + seconds
        while held := [place for place in self.places if place.is_held(self._plan.stale_seconds)]:
            if time.monotonic() > deadline:
                break
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        for place in self.places:
            state = place.state()
            if place in held or (state is not None and not state.complete):
                logger.warning(
                    "server %d of the store did not end in order%s", place.number, _left(place)
                )
            place.address_file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_up(self, place: Place) -> bool:
        state = place.state()
        is_of_now = state is not None and state.generation == self._plan.generation
        return is_of_now and place.address_file.exists()

    def _check_executors(self) -> None:
        bad = [one for one in self._executors if getattr(one, "bad_state_is_set", False)]
        if len(bad) == len(self._executors):
            told = "; ".join(str(one.executor_exception) for one in bad)
            raise InfrastructureError(f"no nodes for the store's servers: {told}")


def _servers(folder: Path, wanted: int | None) -> int | None:
    """Returns how many servers a store has that a folder holds, or shall have."""
    found = sum(path.joinpath("state.json").exists() for path in folder.glob("server.*"))
    if wanted is not None and wanted < 1:
        raise InvalidValueError(f"servers={wanted!r} must be at least 1")
    if found and wanted not in (None, found):
        raise InvalidValueError(
            f"the store in {folder} has {found} servers, which stays so; leave servers={wanted} "
            "out, or name another folder"
        )
    return found or wanted


def _left(place: Place) -> str:
    holder: Any = place.holder()
    return "" if holder is None else f"; it was on {holder.host}, see {place.log}"
