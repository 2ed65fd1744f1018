"""A way to a TCP server that stops in the middle of what a client sends, until it is let on."""

import socket
import threading


class StallingProxy:
    """Forwards connections to ``address`` (``scheme://host:port``); stalls on demand."""

    def __init__(self, address):
        self._scheme, _, place = address.partition("://")
        host, _, port = place.rpartition(":")
        self._target = (host, int(port))
        self._most = None
        self._sent = 0
        self._goes_on = threading.Event()
        self.stalled = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self):
        return f"{self._scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def stall_after(self, size):
        """Stops once a number of bytes more have come from clients."""
        self._goes_on.clear()
        self.stalled.clear()
        self._sent = 0
        self._most = size

    def go_on(self):
        self._most = None
        self._goes_on.set()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()  # it is down: as if nobody listened here
                continue
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source, target, is_client):
        try:
            while data := source.recv(65536):
                if is_client:
                    self._sent += len(data)
                    if self._most is not None and self._sent > self._most:
                        self.stalled.set()
                        self._goes_on.wait()
                target.sendall(data)
        except OSError:
            pass  # one side is gone: the other hears of it below
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was the one that is gone
