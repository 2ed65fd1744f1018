"""Programs that a benchmark starts: servers of stores, bare ones, Redis. They never outlive it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self

from parsl_tl.errors import BenchmarkError
from parsl_tl.parent_death import ending_with
from parsl_tl.store.connection import Connection
from parsl_tl.store.remote import RemoteStore
from parsl_tl.store.transports import load_transport

Program = subprocess.Popen[Any]
_START_SECONDS, _END_SECONDS = 60.0, 15.0


def start_program(command: list[str], **popen: Any) -> Program:
    """Starts a program without input; ``popen`` is for ``subprocess.Popen``.

    It has a session of its own: Ctrl-C is for the benchmark, which then ends the program.
    """
    command = ending_with(os.getpid(), command)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **popen)


@contextlib.contextmanager
def serving_programs(
    what: str, commands: Mapping[Path, list[str]], is_ready: Callable[[Path], bool]
) -> Iterator[list[Program]]:
    """Runs programs at the same time, in the block all are ready.

    Args:
        what: they are, for the error's text.
        commands: by the file into which each writes what it says.
        is_ready: tells by that file whether a program can be used.

    Raises:
        BenchmarkError: one does not start; with the last line that it said.
    """
    programs: list[Program] = []
    try:
        for log, command in commands.items():
            with log.open("wb") as file:
                programs.append(start_program(command, stdout=file, stderr=file))
        deadline = time.monotonic() + _START_SECONDS
        for log, program in zip(commands, programs, strict=True):
            while not is_ready(log):
                if program.poll() is not None or time.monotonic() > deadline:
                    told = log.read_text(errors="replace").strip() or "it told nothing"
                    status = f"exit status {program.poll()}"
                    line = told.splitlines()[-1]
                    raise BenchmarkError(f"a {what} did not start ({status}): {line}")
                time.sleep(0.02)
        yield programs
    finally:
        end_programs(programs)


def end_programs(programs: Sequence[Program]) -> None:
    """Asks programs to end, and kills those that take too long."""
    for program in programs:
        program.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for program in programs:
        try:
            program.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def bare_transport(scheme: str) -> ModuleType:
    """Returns the module with the ``BareServer`` and ``BareClient`` of a scheme.

    Raises:
        NativeModuleError: Thallium is asked for, and not compiled in or not found.
    """
    return load_transport(scheme, "_bare_flight", "_bare_thallium")


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
    commands = {}
    for own in folders:
        where, file = address.format(own.name), str(own.with_suffix(".address"))
        serve = ["parsl_tl.cli", "store", "serve", where, "--data", str(own)]
        module = [__name__, bare, where, file] if bare else [*serve, "--address-file", file]
        commands[own.with_suffix(".log")] = [sys.executable, "-m", *module]
    listening = serving_programs(what, commands, lambda log: log.with_suffix(".address").exists())
    with listening as programs:
        uris = tuple(own.with_suffix(".address").read_text().strip() for own in folders)
        yield Servers(folders, uris, [program.pid for program in programs])


def redis_missing() -> str | None:
    """Returns why ``RedisServer`` cannot be used, in one line, or None."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed: apt-get install redis-server"
    if importlib.util.find_spec("redis") is None:
        return "the redis package is not installed: pip install redis"
    return None


class RedisServer(contextlib.ExitStack):
    """A server on ``socket``, a path in a temporary folder; use it in a ``with``.

    Clients take its address as ``url``.
    """

    def __init__(self, append_to: Path | None = None, synced: bool = True) -> None:
        """Nothing is started yet.

        Args:
            append_to: a folder, in which the server logs all that is written to it (its
                append-only file); None for a server that never writes to disk.
            synced: it answers when its log is on the disk (fsync), and not before.

        Raises:
            BenchmarkError: redis-server or its Python package is not installed.
        """
        super().__init__()
        if (missing := redis_missing()) is not None:
            raise BenchmarkError(missing)
        own = self.enter_context(tempfile.TemporaryDirectory(prefix="parsl_tl_redis_"))
        folder, log = own, "--appendonly no"
        self.socket = f"{own}/redis.sock"
        self.url = f"unix://{self.socket}"
        if append_to is not None:
            append_to.mkdir(parents=True, exist_ok=True)
            folder, when = str(append_to.resolve()), "always" if synced else "no"
            # The log stays as it was written, so that its size tells what was.
            log = f"--appendonly yes --auto-aof-rewrite-percentage 0 --appendfsync {when}"
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket]
        command += ["--dir", folder, "--save", "", *log.split()]
        commands = {Path(own, "redis.log"): command}
        self._programs = serving_programs("redis-server", commands, lambda _: self._answers())
        self._process: Program | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        is_running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and is_running else None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            (self._process,) = self.enter_context(self._programs)
            stack.pop_all()
        return self

    def connect(self) -> Any:
        """Returns a new client; who asks for it closes it."""
        redis: Any = importlib.import_module("redis")
        # The client's own retries wait for seconds, which a start does not take.
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        return redis.Redis(unix_socket_path=self.socket, retry=retry)

    def _answers(self) -> bool:
        with self.connect() as client:
            try:
                return bool(client.ping())
            except (importlib.import_module("redis").ConnectionError, FileNotFoundError):
                return False


def _serve_bare(scheme: str, address: str, file: Path) -> None:
    from parsl_tl.reporting.files import replace_file
    from parsl_tl.stop_signals import stopping_in_order

    server = bare_transport(scheme).BareServer(address)
    replace_file(file, lambda partial: partial.write_text(str(server.address)))
    try:
        with stopping_in_order():
            while True:
                time.sleep(3600.0)
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    _serve_bare(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
