"""Server processes of a benchmark's own: the store's, and the bare transport's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from parsl_tl.benchmarks.core.baselines import bare_transport
from parsl_tl.benchmarks.core.processes import Processes, Worker
from parsl_tl.benchmarks.core.programs import end_programs, start_program
from parsl_tl.errors import BenchmarkError
from parsl_tl.store.connection import Connection
from parsl_tl.store.remote import RemoteStore

_START_SECONDS = 60.0


def open_servers(uris: Sequence[str], *, maps_segments: bool = True) -> RemoteStore:
    """Opens the store that servers of this machine make up."""
    # Without a token, whatever the environment names: these servers know none.
    servers = [Connection.parse(uri) for uri in uris]
    return RemoteStore(servers, maps_segments=maps_segments)


class StoreServers:
    """``parsl-tl store serve`` processes that make up one store; use them in a ``with``."""

    def __init__(self, address: str, folder: Path, count: int) -> None:
        """Nothing is started yet.

        Args:
            address: where each listens; with a port it must be 0, with a path "{}" is the name.
            folder: in which each gets a folder of its own.
            count: how many.
        """
        self._address = address
        self.folders = [folder / f"server-{index}" for index in range(count)]
        self._files = [folder / f"server-{index}.address" for index in range(count)]
        self._logs = [folder / f"server-{index}.log" for index in range(count)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            for folder, file, log in zip(self.folders, self._files, self._logs, strict=True):
                self._processes.append(self._start(folder, file, log))
            deadline = time.monotonic() + _START_SECONDS
            for process, file, log in zip(self._processes, self._files, self._logs, strict=True):
                _wait_for(process, file, log, deadline)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def uris(self) -> tuple[str, ...]:
        """Their connection strings."""
        return tuple(file.read_text().strip() for file in self._files)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def _start(self, folder: Path, file: Path, log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "parsl_tl.cli", "store", "serve"]
        command.append(self._address.format(folder.name))
        command += ["--data", str(folder), "--address-file", str(file)]
        with log.open("wb") as out:
            return start_program(command, stdout=out, stderr=out)

    def close(self) -> None:
        """Ends them; their folders stay."""
        end_programs(self._processes)
        self._processes = []


def _wait_for(process: subprocess.Popen[bytes], file: Path, log: Path, deadline: float) -> None:
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            told = log.read_text(errors="replace").strip().splitlines()
            raise BenchmarkError(
                f"a server did not start (exit status {process.poll()}): "
                f"{told[-1] if told else 'it told nothing'}"
            )
        time.sleep(0.02)


class BareServers(Processes):
    """Servers of the transport alone, each in a process; use them in a ``with``."""

    def __init__(self, scheme: str, address: str, count: int) -> None:
        """Nothing is started yet.

        Args:
            scheme: of the transport.
            address: where each listens; with a port it must be 0, with a path "{}" is the name.
            count: how many; 0 where the transport cannot be measured by itself.
        """
        super().__init__(_BareServer, [count])
        self._count = count
        self._given = (scheme, address)
        self.addresses: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.addresses = tuple(self.ask(self._count, "listen", self._given))
        except BaseException:
            self.close()
            raise
        return self


class _BareServer(Worker):
    _server: Any = None

    def listen(self, given: tuple[str, str]) -> str:
        scheme, address = given
        self._server = bare_transport(scheme).BareServer(address.format(f"bare-{self.index}"))
        return str(self._server.address)

    def end(self) -> None:
        if self._server is not None:
            self._server.stop()
