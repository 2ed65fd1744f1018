"""Answers for an interchange that has died, so that nobody waits for it for ever.

Parsl sends to its interchange, and asks it, without a limit of time. When the process is gone, the
thread that submits tasks and the one that looks after blocks are stuck, and shutting down waits
for both.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import zmq

logger = logging.getLogger(__name__)

_POLL_MILLISECONDS = 200


class InterchangeStandIn:
    """Takes an executor's tasks, does nothing with them, and has no managers and no blocks.

    It ends when the executor is shut down.
    """

    def __init__(self, executor: Any) -> None:
        """Begins to answer.

        Args:
            executor: a HighThroughputExecutor whose interchange process has ended.
        """
        self._executor = executor
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._answer, name="interchange-stand-in", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops answering."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _answer(self) -> None:
        from parsl import curvezmq
        from parsl.addresses import tcp_url

        executor = self._executor
        context = curvezmq.ServerContext(executor.cert_dir)
        try:
            tasks = context.socket(zmq.DEALER)
            tasks.connect(tcp_url(executor.loopback_address, executor.outgoing_q.port))
            commands = context.socket(zmq.REP)
            commands.connect(tcp_url(executor.loopback_address, executor.command_client.port))
            poller = zmq.Poller()
            poller.register(tasks, zmq.POLLIN)
            poller.register(commands, zmq.POLLIN)
            # A kernel that comes later may have the same ports.
            while not (self._stop.is_set() or executor.command_client.zmq_socket.closed):
                ready = dict(poller.poll(timeout=_POLL_MILLISECONDS))
                if tasks in ready:
                    tasks.recv()
                if commands in ready:
                    commands.send_pyobj(self._reply(commands.recv_pyobj()))
        except zmq.ZMQError as error:
            logger.warning("nobody answers for the interchange of %s: %s", executor.label, error)
        finally:
            context.destroy(linger=0)

    def _reply(self, command: Any) -> Any:
        replies = {"WORKER_BINDS": self._executor.worker_port, "MANAGERS_PACKAGES": {}}
        if isinstance(command, str):
            return replies.get(command, [])
        return None
