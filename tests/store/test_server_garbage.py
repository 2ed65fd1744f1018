"""What is no request, sent to the port of a real server: it answers, stays, and does not grow."""

import os
import struct
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from store_servers import ServerProcess

from parsl_tl import open_store

MESSAGES = int(os.environ.get("PARSL_TL_GARBAGE", "10000"))
KINDS = [1, 2, 3, 5, 10, 11, 12, 13, 14, 20, 21, 22, 30, 31, 32, 33, 34, 35, 36, 40, 41, 42, 43, 45]


def header(rng, kind):
    """A request's header, right but for what the numbers say."""
    bulk = int(rng.choice([0, 0, 0, 1, 100, 2**20, 2**62]))
    return struct.pack(
        "<4sHH32s16sQQII", b"PTLQ", 1, kind, bytes(32), rng.bytes(16), bulk,
        int(rng.integers(3)), int(rng.integers(3)), int(rng.integers(3)),
    )  # fmt: skip


def batch(rng):
    """An Arrow message with columns of the kinds that requests have, of random lengths."""
    columns = []
    for _ in range(int(rng.integers(0, 12))):
        kind = int(rng.integers(6))
        size = int(rng.choice([0, 1, 3, 50]))
        numbers = rng.integers(0, 2**62, size).tolist()
        columns.append(
            [
                pa.array([int(rng.integers(2**62))], pa.uint64()),
                pa.array([numbers], pa.list_(pa.uint64())),
                pa.array([[rng.bytes(5) for _ in range(size)]], pa.list_(pa.binary())),
                pa.array([rng.bytes(size)], pa.binary()),
                pa.array([float(rng.normal())]),
                pa.array([bool(rng.integers(2))]),
            ][kind]
        )
    made = pa.record_batch(columns, names=[f"c{i}" for i in range(len(columns))])
    return made.serialize().to_pybytes()


def garbage(rng):
    """A request that is wrong somewhere: in its bytes, its length, its header, or its message."""
    text = bytearray(header(rng, int(rng.choice(KINDS))) + batch(rng))
    what = int(rng.integers(5))
    if what == 0:
        text = text[: int(rng.integers(len(text)))]
    elif what == 1:
        for place in rng.integers(8, len(text), 4).tolist():
            text[place] = int(rng.integers(256))
    elif what == 2:
        text = bytearray(rng.bytes(int(rng.integers(300))))
    return bytes(text)


def send(address, seed, count):
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
                list(client.do_action(flight.Action(name, text), options))
        except (pa.ArrowException, flight.FlightError, OSError):
            pass  # refused, as it should be
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
        sizes = []
        for part in range(4):
            threads = [
                threading.Thread(target=send, args=(server.address, 10 * part + i, MESSAGES // 16))
                for i in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            sizes.append(resident(server.process.pid))
        assert server.process.poll() is None
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
