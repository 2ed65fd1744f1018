"""Server processes of a benchmark's own: the store's, and the bare transport's."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

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


class Servers(NamedTuple):
    """Servers that run."""

    folders: list[Path]  # of their data, which stay
    uris: tuple[str, ...]  # their connection strings
    pids: list[int]  # of their processes


@contextlib.contextmanager
def serving(address: str, folder: Path, count: int, bare: str = "") -> Iterator[Servers]:
    """Runs ``parsl-tl store serve`` processes that make up one store, or bare servers.

    Args:
        address: where each listens; with a port it must be 0, with a path "{}" is the name.
        folder: in which each gets a folder of its own.
        count: how many.
        bare: scheme of the transport, for servers of this alone, which have no data.

    Raises:
        BenchmarkError: one does not start; with the last line that it said.
    """
    what = "bare-server" if bare else "server"
    folders = [folder / f"{what}-{index}" for index in range(count)]
    files = [own.with_suffix(".address") for own in folders]
    programs: list[Program] = []
    try:
        for own, file in zip(folders, files, strict=True):
            command = ["parsl_tl.cli", "store", "serve", address.format(own.name)]
            command += ["--data", str(own), "--address-file", str(file)]
            if bare:
                command = [__name__, bare, address.format(own.name), str(file)]
            with own.with_suffix(".log").open("wb") as log:
                program = [sys.executable, "-m", *command]
                programs.append(start_program(program, stdout=log, stderr=log))
        for own, process, file in zip(folders, programs, files, strict=True):
            if not is_ready(process, file.exists, _START_SECONDS):
                text = own.with_suffix(".log").read_text(errors="replace").strip()
                told = (text or "it told nothing").splitlines()[-1]
                status = f"exit status {process.poll()}"
                raise BenchmarkError(f"a {what} did not start ({status}): {told}")
        uris = tuple(file.read_text().strip() for file in files)
        yield Servers(folders, uris, [process.pid for process in programs])
    finally:
        end_programs(programs)


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
