"""A kernel that ends while a thread waits for an answer of its interchange."""

import threading
import time
from types import SimpleNamespace

import zmq
from parsl.addresses import tcp_url
from parsl.executors.high_throughput.zmq_pipes import CommandClient

from parsl_tl import kernel_end


def test_no_socket_is_closed_while_a_thread_waits_at_it(monkeypatch):
    monkeypatch.setattr(kernel_end, "_LONGEST_ANSWER", 0.2)
    client = CommandClient("127.0.0.1", (50000, 60000))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(client.run("anything")), daemon=True)
    asking.start()
    while not client._lock.locked():
        time.sleep(0.01)
    kernel_end._close_in_turn(SimpleNamespace(command_client=client, label="workers"))
    client.close()
    assert not client.zmq_socket.closed  # libzmq would have ended this process
    with zmq.Context() as context, context.socket(zmq.REP) as peer:
        peer.connect(tcp_url("127.0.0.1", client.port))
        assert peer.recv_pyobj() == "anything"
        peer.send_pyobj("answer")
        asking.join()
    assert answers == ["answer"]
    client.close()
    assert client.zmq_socket.closed
