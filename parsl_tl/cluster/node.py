"""What runs on each node beside its pool of workers: it holds a place and keeps the server up.

``python -m parsl_tl.cluster.node PLAN ADDRESSES``: the plan's file, which may be written later, and
the addresses of the driver, with commas between. A node that finds all places held waits for one to
become free. It ends when the plan says so, by SIGTERM, and when a later run begins.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from pathlib import Path

from parsl_tl.cluster.models import Models
from parsl_tl.cluster.place import Place
from parsl_tl.cluster.plan import ClusterPlan, write_whole
from parsl_tl.cluster.server_process import ServerProcess
from parsl_tl.errors import InfrastructureError
from parsl_tl.node_store import CANNOT_SERVE

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_CLAIMS = 2.0


class NodeKeeper:
    """Holds one place of a cluster at a time.

    Args:
        plan: of the cluster.
        host: address of this node.
        ended: is set when this process shall end.
    """

    def __init__(self, plan: ClusterPlan, host: str, ended: threading.Event) -> None:
        self._plan = plan
        self._host = host
        self._ended = ended
        self._places = [Place(plan.folder, number) for number in range(plan.servers)]

    def run(self) -> None:
        """Serves until the cluster ends.

        Raises:
            InfrastructureError: a server does not start here.
        """
        while not self._is_over():
            place = self._take_one()
            if place is None:
                self._ended.wait(_SECONDS_BETWEEN_CLAIMS)
                continue
            try:
                self._serve(place)
            except InfrastructureError as error:
                write_whole(place.error_file, str(error))
                raise
            finally:
                place.release()

    def _take_one(self) -> Place | None:
        for place in self._places:
            models = Models(self._plan, place)
            if models.are_at_hand() and place.take(self._plan.stale_seconds):
                if models.are_at_hand():  # as before it was ours
                    return place
                place.release()
        return None

    def _serve(self, place: Place) -> None:
        models = Models(self._plan, place)
        models.bring()
        server = ServerProcess(self._plan, place, models.folder, self._host)
        is_mine = True
        try:
            while is_mine and not self._is_over():
                if not server.is_running:
                    found = server.start()
                    models.note(complete=False)  # before anybody knows of it
                    place.error_file.unlink(missing_ok=True)
                    for file in (place.last_address_file, place.address_file):
                        write_whole(file, f"{found}\n")
                self._ended.wait(_SECONDS_BETWEEN_LOOKS)
                is_mine = place.beat()
        finally:
            server.stop(kill=not is_mine)
        if is_mine:
            place.address_file.unlink(missing_ok=True)
            models.keep()
        else:
            logger.warning("server %d runs elsewhere now", place.number)

    def _is_over(self) -> bool:
        plan = self._plan
        return self._ended.is_set() or plan.stop_file.exists() or not plan.is_current


def address_of_node(interfaces: tuple[str, ...], driver: list[str]) -> str:
    """Returns the address that others reach this node on.

    Args:
        interfaces: the first of these that has an address counts.
        driver: addresses of the driver; without an interface, it is that of the way there.
    """
    import psutil

    there = psutil.net_if_addrs()
    for name in interfaces:
        for found in there.get(name, ()):
            if found.family == socket.AF_INET:
                return str(found.address)
    for address in driver:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((address, 9))  # sends nothing
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return socket.gethostbyname(socket.gethostname())


def main() -> None:
    """Runs the program."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    path, addresses = Path(sys.argv[1]), sys.argv[2]
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not path.exists():
        if ended.wait(_SECONDS_BETWEEN_CLAIMS / 4):
            return
    plan = ClusterPlan.read(path)
    try:
        NodeKeeper(plan, address_of_node(plan.interfaces, addresses.split(",")), ended).run()
    except InfrastructureError as error:
        logger.error("%s", error)
        sys.exit(CANNOT_SERVE)


if __name__ == "__main__":
    main()
