"""The server of a place, as a process: started, started again where it was, and ended in order."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from parsl_tl.cluster.place import Place
from parsl_tl.cluster.plan import TCP, ClusterPlan
from parsl_tl.errors import InfrastructureError, InvalidValueError
from parsl_tl.log_file import last_lines
from parsl_tl.parent_death import ending_with
from parsl_tl.store.connection import Connection

logger = logging.getLogger(__name__)

_START_SECONDS = 60.0
_STARTS_IN_A_ROW = 5
_LAST_LINES = 5
# One that has served for this long did start.
_LONG = 30.0
_DEADLINE = 10.0  # for requests at work when a server ends


class ServerProcess:
    """``parsl-tl store serve`` for a place, which ends with this process.

    Args:
        plan: of the cluster.
        place: of the server, held by this process.
        data: folder of its store.
        host: address of this node.
    """

    def __init__(self, plan: ClusterPlan, place: Place, data: Path, host: str) -> None:
        self._plan = plan
        self._place = place
        self._data = data
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None
        self._failed = 0
        self._began = 0.0
        self._address = _former(place, host)  # where clients found it last

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Starts the server, at the address that it had; returns its connection string.

        Raises:
            InfrastructureError: it does not start, however often.
        """
        if time.monotonic() - self._began > _LONG:
            self._failed = 0
        while self._failed < _STARTS_IN_A_ROW:
            for address in self._addresses():
                if (found := self._try(address)) is not None:
                    self._address = Connection.parse(found).address
                    return found
            self._failed += 1
            time.sleep(min(0.2 * 2**self._failed, 5.0))  # another process may still have the store
        raise InfrastructureError(
            f"server {self._place.number} of the store does not start on {self._host}; the end of "
            f"{self._place.log}:\n{last_lines(self._place.log, _LAST_LINES)}"
        )

    def stop(self, *, kill: bool = False) -> None:
        """Ends the server: requests at work come to their end first.

        Args:
            kill: at once.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(_DEADLINE + _START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _addresses(self) -> list[str]:
        """Returns where to listen, the best first."""
        known = [self._address] if self._address else []
        schemes = [self._plan.scheme] + ([TCP] if self._plan.scheme != TCP else [])
        return known + [_address(scheme, self._host) for scheme in schemes]

    def _try(self, address: str) -> str | None:
        told = self._place.folder / ".address"
        told.unlink(missing_ok=True)
        plan = self._plan
        command = [
            *(sys.executable, "-m", "parsl_tl.cli", "store", "serve", address),
            *("--data", str(self._data), "--address-file", str(told)),
            *("--token-file", str(plan.token_file), "--durability", plan.durability),
            *("--threads", str(plan.threads), "--deadline", str(_DEADLINE)),
            *(["--memory-limit", str(plan.memory_limit)] if plan.memory_limit else []),
            *(["--trace", plan.trace] if plan.trace else []),
        ]
        with self._place.log.open("ab") as log:
            self._process = subprocess.Popen(
                ending_with(os.getpid(), command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._began = time.monotonic()
        while self.is_running and time.monotonic() - self._began < _START_SECONDS:
            if told.exists():
                return told.read_text().strip()
            time.sleep(0.05)
        self.stop(kill=True)
        logger.warning("server %d does not listen at %s", self._place.number, address)
        return None


def _former(place: Place, host: str) -> str | None:
    """Returns where the server listened that ran last, if that was on this node."""
    try:
        address = Connection.parse(place.last_address_file.read_text().strip()).address
    except (OSError, InvalidValueError):
        return None
    return address if f"//{host}:" in address or f"//[{host}]:" in address else None


def _address(scheme: str, host: str) -> str:
    if scheme == "ofi+cxi":  # which numbers its devices by itself
        return "ofi+cxi://"
    return f"{scheme}://[{host}]:0" if ":" in host else f"{scheme}://{host}:0"
