"""What is no request, sent to the port of a real server: it answers, stays, and does not grow."""

import os
import struct
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from request_header import request_header
from store_servers import ServerProcess

from parsl_tl import open_store

MESSAGES = int(os.environ.get("PARSL_TL_GARBAGE", "10000"))
# All but those that stop a server, or say of which store it is.
KINDS = [*(1, 2, 3, 5), *range(10, 17), *range(20, 23), *range(30, 37), *range(40, 47)]


def header(rng, kind):
    """A request's header; now and then a number of it is wrong."""
    wrong = int(rng.integers(12))
    return request_header(
        kind,
        client=rng.bytes(16),
        bulk_bytes=int(rng.choice([1, 100, 2**20, 2**62])) if wrong == 0 else 0,
        number=int(rng.integers(3)),
        server=(int(rng.integers(3)), 3) if wrong == 1 else (0, 0),
    )


def message(rng):
    """Fields of the kinds that messages have, of random lengths."""
    fields = []
    for _ in range(int(rng.integers(0, 12))):
        size = int(rng.choice([0, 1, 3, 50]))
        fields += [
            [struct.pack("<B", rng.integers(3))],
            [struct.pack("<Q", rng.integers(2**62))],
            [struct.pack("<d", rng.normal())],
            [struct.pack("<Q", size), rng.bytes(size)],
            [struct.pack("<Q", size), rng.bytes(8 * size)],
        ][int(rng.integers(5))]
    return b"".join(fields)


def garbage(rng):
    """A request that is wrong somewhere: in its bytes, its length, its header, or its message."""
    text = bytearray(header(rng, int(rng.choice(KINDS))) + message(rng))
    what = int(rng.integers(5))
    if what == 0:
        text = text[: int(rng.integers(len(text)))]
    elif what == 1:
        for place in rng.integers(8, len(text), 4).tolist():
            text[place] = int(rng.integers(256))
    elif what == 2:
        text = bytearray(rng.bytes(int(rng.integers(300))))
    return bytes(text)


def send(seed, address, count, answers):
    rng = np.random.default_rng(seed)
    client = flight.connect(address)
    options = flight.FlightCallOptions(timeout=20)
    for _ in range(count):
        text = garbage(rng)
        way = int(rng.integers(20))
        head = b"PTLCALL1" + struct.pack("<Q", int(rng.choice([0, 1, 10, 2**40])))
        try:
            if way == 0:
                client.do_get(flight.Ticket(head + text), options).read_all()
            elif way == 1:
                schema = pa.schema([("bytes", pa.uint8())])
                descriptor = flight.FlightDescriptor.for_command(head + text)
                writer, _ = client.do_put(descriptor, schema, options)
                writer.write_batch(pa.record_batch([pa.array([1, 2], pa.uint8())], schema=schema))
                writer.close()
            else:
                name = "parsl_tl.call" if way < 19 else "another"
                answer = list(client.do_action(flight.Action(name, text), options))
                answers.append(answer[0].body.to_pybytes())
        except (pa.ArrowException, flight.FlightError, OSError):
            pass  # refused before the store saw it, as it should be
    client.close()


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.slow
def test_garbage_neither_ends_a_server_nor_makes_it_grow(tmp_path, tools):
    server = ServerProcess(tmp_path / "s")
    try:
        graph = tools.graph(1, 2)
        weights = tools.weights(graph, 1)
        with open_store(server.uri) as store:
            store.put(1, graph, weights, quality=1.0)
        sizes, answers = [], []
        for part in range(4):
            args = (server.address, MESSAGES // 16, answers)
            threads = [threading.Thread(target=send, args=(10 * part + i, *args)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            sizes.append(resident(server.process.pid))
        assert server.process.poll() is None
        # The headers are the protocol's, so it is most messages themselves that were read.
        read = [text for text in answers if b"malformed message" in text or text[6:8] == bytes(2)]
        assert len(read) > len(answers) / 3
        with open_store(server.uri) as store:
            assert tools.same(store.read(1), weights)
            assert store.find_donor(graph).model_id == 1
            assert store.verify().ok
        # The first part fills what is kept anyway: threads, what clients were heard of lately.
        assert sizes[-1] < sizes[1] + (64 << 20), sizes
        print("resident after each part, MB:", [size >> 20 for size in sizes])
        assert server.stop() == 0
    finally:
        server.end()
