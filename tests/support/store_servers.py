"""Real server processes for tests: started, killed, and ended by their ids."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from parsl_tl.store.transports import has_thallium

SCHEMES = {"flight": "grpc+tcp://127.0.0.1:0"}
if has_thallium():
    SCHEMES["thallium"] = "ofi+tcp://127.0.0.1:0"


class ServerProcess:
    """``parsl-tl store serve`` in a process of its own."""

    def __init__(self, folder, address="grpc+tcp://127.0.0.1:0", *options, data=True):
        self.folder = Path(folder)
        self.address_file = self.folder.with_name(f"{self.folder.name}.address")
        self.log = self.folder.with_name(f"{self.folder.name}.log")
        self.options = [*(["--data", str(self.folder)] if data else []), *map(str, options)]
        self.address = address
        self.process = None
        self.start()

    def start(self):
        """Starts the server, anew where it was, and waits until it listens."""
        self.address_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "parsl_tl.cli", "store", "serve", self.address]
        command += [*self.options, "--address-file", str(self.address_file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.address_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise AssertionError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        # Where it is found again after a restart.
        self.address = self.uri.partition("?")[0]

    @property
    def uri(self):
        return self.address_file.read_text().strip()

    def kill(self):
        """Ends it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it as a launcher would; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def make_certificate(folder):
    """A certificate of this machine that signs itself, and its key."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@contextmanager
def running(folder, kind="flight", count=1, *options):
    """So many servers that form one store; the list of them."""
    servers = []
    try:
        for i in range(count):
            servers.append(ServerProcess(Path(folder) / f"server{i}", SCHEMES[kind], *options))
        yield servers
    finally:
        for server in servers:
            server.end()


def uri_of(servers):
    """What opens the store of these servers."""
    return " ".join(server.uri for server in servers)
