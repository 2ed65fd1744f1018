"""Server processes of a benchmark's own: the store's, and the bare transport's."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from parsl_tl.benchmarks.core.baselines import bare_transport
from parsl_tl.benchmarks.core.programs import Program, end_programs, is_ready, start_program
from parsl_tl.errors import BenchmarkError
from parsl_tl.store.connection import Connection
from parsl_tl.store.remote import RemoteStore

_START_SECONDS = 60.0


def open_servers(uris: Sequence[str], *, maps_segments: bool = True) -> RemoteStore:
    """Opens the store that servers of this machine make up."""
    # Without a token, whatever the environment names: these servers know none.
    return RemoteStore([Connection.parse(uri) for uri in uris], maps_segments=maps_segments)


class StoreServers:
    """``parsl-tl store serve`` processes that make up one store; use them in a ``with``.

    Attributes:
        folders: of their data, which stay.
        uris: their connection strings.
    """

    name = "server"

    def __init__(self, address: str, folder: Path, count: int) -> None:
        """Nothing is started yet.

        Args:
            address: where each listens; with a port it must be 0, with a path "{}" is the name.
            folder: in which each gets a folder of its own.
            count: how many.
        """
        self._address = address
        self.folders = [folder / f"{self.name}-{index}" for index in range(count)]
        self.uris: tuple[str, ...] = ()
        self._programs: list[Program] = []

    def command(self, address: str, folder: Path, file: Path) -> list[str]:
        """Returns the program that listens at an address, and writes it to a file."""
        program = ["parsl_tl.cli", "store", "serve", address, "--data", str(folder)]
        return [*program, "--address-file", str(file)]

    def __enter__(self) -> Self:
        files = [folder.with_suffix(".address") for folder in self.folders]
        try:
            for folder, file in zip(self.folders, files, strict=True):
                command = self.command(self._address.format(folder.name), folder, file)
                with folder.with_suffix(".log").open("wb") as log:
                    program = [sys.executable, "-m", *command]
                    self._programs.append(start_program(program, stdout=log, stderr=log))
            for folder, process, file in zip(self.folders, self._programs, files, strict=True):
                if not is_ready(process, file.exists, _START_SECONDS):
                    text = folder.with_suffix(".log").read_text(errors="replace").strip()
                    told = (text or "it told nothing").splitlines()[-1]
                    status = f"exit status {process.poll()}"
                    raise BenchmarkError(f"a {self.name} did not start ({status}): {told}")
            self.uris = tuple(file.read_text().strip() for file in files)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [program.pid for program in self._programs]

    def close(self) -> None:
        """Ends them; their folders stay."""
        end_programs(self._programs)
        self._programs = []


class BareServers(StoreServers):
    """Servers of the transport alone, which have no data."""

    name = "bare-server"

    def __init__(self, scheme: str, address: str, folder: Path, count: int) -> None:
        """Nothing is started yet; see ``StoreServers``."""
        super().__init__(address, folder, count)
        self._scheme = scheme

    def command(self, address: str, folder: Path, file: Path) -> list[str]:
        """See ``StoreServers``."""
        return [__name__, self._scheme, address, str(file)]


def _serve_bare(scheme: str, address: str, file: Path) -> None:
    from parsl_tl.stop_signals import stopping_in_order

    server = bare_transport(scheme).BareServer(address)
    partial = file.with_suffix(".partial")
    partial.write_text(str(server.address))
    partial.rename(file)
    try:
        with stopping_in_order():
            while True:
                time.sleep(3600.0)
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    _serve_bare(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
