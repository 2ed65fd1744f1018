"""Where the models of a server are: in its place, or on the disk of the node that holds it."""

from __future__ import annotations

import hashlib
import logging
import shutil
import socket
from pathlib import Path

from parsl_tl.cluster.place import Place, PlaceState
from parsl_tl.cluster.plan import ClusterPlan
from parsl_tl.store.identity import identity_of

logger = logging.getLogger(__name__)


class Models:
    """The models of a place, as the node sees them that holds it.

    Attributes:
        folder: that the server is to serve.
    """

    def __init__(self, plan: ClusterPlan, place: Place) -> None:
        self._plan = plan
        self._place = place
        self._is_copied = plan.data is not None
        self.folder = place.store if plan.data is None else _own_folder(plan, place.number)

    def are_at_hand(self) -> bool:
        """Whether this node can serve them: all that clients were told of is there.

        A server's folder on a disk of another node that went away is lost until the node is back.
        With a new run over the cluster, the last copy of it does.
        """
        state = self._place.state()
        return (
            not self._is_copied
            or state is None
            or state.complete
            or state.generation != self._plan.generation
            or self._are_here(state)
        )

    def bring(self) -> None:
        """Puts them where they are served from, if they are not there."""
        state = self._place.state()
        if not self._is_copied or (state is not None and self._are_here(state)):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if state is None:
            return
        if not self._place.store.exists():
            logger.warning(
                "server %d: its models were lost with %s", self._place.number, state.host
            )
            return
        if not state.complete:
            logger.warning(
                "server %d: what came after its last copy was lost with %s",
                self._place.number,
                state.host,
            )
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._place.store, self.folder)

    def note(self, *, complete: bool) -> None:
        """Notes in the place what it holds now.

        Args:
            complete: see ``PlaceState``.
        """
        identity = identity_of(f"embedded:{self.folder}") or ""
        state = PlaceState(socket.gethostname(), identity, self._plan.generation, complete)
        self._place.leave(state)

    def keep(self) -> None:
        """Takes them back to the place, after the server has closed them."""
        if not self._is_copied or not self.folder.exists():
            self.note(complete=True)
            return
        new = self._place.store.with_name("store.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(self.folder, new)
        shutil.rmtree(self._place.store, ignore_errors=True)
        new.rename(self._place.store)
        self.note(complete=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _are_here(self, state: PlaceState) -> bool:
        return (
            not state.complete
            and state.host == socket.gethostname()
            and bool(state.identity)
            and identity_of(f"embedded:{self.folder}") == state.identity
        )


def _own_folder(plan: ClusterPlan, number: int) -> Path:
    """Returns a folder on the node's disk: the same one in every run over the same cluster."""
    name = hashlib.blake2b(plan.folder.encode(), digest_size=6).hexdigest()
    return Path(str(plan.data)).expanduser() / f"parsl-tl-{name}" / str(number)
