"""What happens to a store from outside: damage, other users, full disks, removed folders."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from request_header import request_header
from store_servers import ServerProcess, running
from store_writer import notes_of

from parsl_tl import open_store
from parsl_tl.cli.program import main
from parsl_tl.errors import InvalidValueError, StoreCorruptError, StoreFormatError, StoreFullError
from parsl_tl.store.token import read_token


def fill(folder, tools, count=8):
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        for model_id in range(count):
            store.put(model_id, graph, {}, quality=model_id)


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def test_damage_in_the_middle_of_the_log_is_told_as_damage(tmp_path, tools, capsys):
    folder = tmp_path / "s"
    fill(folder, tools)
    log = folder / "log"
    flip(log, log.stat().st_size // 2)
    with pytest.raises(StoreCorruptError, match=r"byte \d+ is damaged, and [1-7] whole record"):
        open_store(f"embedded:{folder}", read_only=True)
    with pytest.warns(RuntimeWarning, match="whole record.*passed over"):
        store = open_store(f"embedded:{folder}", read_only=True, damaged=True)
    with store:
        assert 0 < len(store) < 8
        assert any("is damaged, and" in problem for problem in store.verify().problems)
    assert main(["store", "verify", str(folder)]) == 1
    assert "is damaged, and" in capsys.readouterr().out
    assert main(["store", "ls", str(folder)]) == 2
    with pytest.raises(InvalidValueError, match="read_only"):
        open_store(f"embedded:{folder}", damaged=True)


def test_a_damaged_last_record_is_no_torn_tail(tmp_path, tools):
    folder = tmp_path / "s"
    fill(folder, tools)
    log = folder / "log"
    flip(log, log.stat().st_size - 300)
    for read_only in (True, False):
        with pytest.raises(StoreCorruptError, match="0 whole records follow"):
            open_store(f"embedded:{folder}", read_only=read_only)


def test_nothing_is_acknowledged_behind_damage(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        for model_id in range(8):
            store.put(model_id, graph, {}, quality=0)
        flip(folder / "log", (folder / "log").stat().st_size // 2)
        with pytest.raises(StoreCorruptError, match="somebody else wrote"):
            store.put(8, graph, {}, quality=0)
        assert not store.verify().ok


def modes(folder):
    found = {folder, *folder.rglob("*")}
    return {stat.S_IMODE(path.stat().st_mode) & 0o3777 for path in found if path.exists()}


def test_a_store_is_its_owners_alone(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        store.put(1, graph, tools.weights(graph), quality=0)
        store.put(2, graph, tools.weights(graph), quality=0)
        store.retire(1)
        store.compact()
        assert modes(folder) == {0o700, 0o600}


def test_a_store_can_be_shared_with_the_group(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    before = os.umask(0o077)
    try:
        with open_store(f"embedded:{folder}", shared="group") as store:
            store.put(1, graph, tools.weights(graph), quality=0)
            store.put(2, graph, tools.weights(graph), quality=0)
            store.retire(1)
            store.compact()
        with open_store(f"embedded:{folder}") as store:
            store.put(3, graph, tools.weights(graph), quality=0)
    finally:
        os.umask(before)
    assert modes(folder) == {0o2770, 0o660}
    open_store(f"embedded:{tmp_path / 'private'}").close()
    with pytest.raises(InvalidValueError, match="owner alone"):
        open_store(f"embedded:{tmp_path / 'private'}", shared="group")


def test_locks_that_others_can_hold_are_taken_from_them(tmp_path):
    folder = tmp_path / "s"
    open_store(f"embedded:{folder}").close()
    folder.chmod(0o755)
    (folder / "lock").chmod(0o644)
    with pytest.warns(RuntimeWarning, match="used by others"):
        open_store(f"embedded:{folder}").close()
    assert modes(folder) == {0o700, 0o600}


def fill_up(path):
    """Writes until there is no space left, to the last page."""
    with path.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            return


def test_retiring_works_on_a_full_disk(tmp_path, tools):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs needs rights that this process does not have")
    try:
        graph = tools.graph(1)
        with open_store(f"embedded:{disk / 's'}") as store:
            stored = 0
            with pytest.raises(StoreFullError):  # noqa: PT012 - which one, is free
                while True:
                    store.put(stored, graph, tools.weights(graph), quality=0)
                    stored += 1
            fill_up(disk / "ballast")
            for model_id in range(1, stored):
                store.retire(model_id)
            store.compact()
            assert store.verify().ok
            assert len(store) == 1
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_folder_that_is_removed_is_one_clear_error(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        store.put(1, graph, tools.weights(graph), quality=0)
        shutil.rmtree(folder)
        for what in (
            lambda: store.read(1),
            lambda: store.put(2, graph, tools.weights(graph), quality=0),
            lambda: store.retire(1),
            lambda: store.find_donor(graph),
            store.models,
            store.compact,
            store.verify,
        ):
            with pytest.raises(StoreFormatError, match="was removed while the store was in use"):
                what()


def test_a_client_may_begin_with_much_on_a_server_with_a_token(tmp_path, tools):
    token = tmp_path / "token"
    server = ServerProcess(tmp_path / "s", "grpc+tcp://127.0.0.1:0", "--token-file", token)
    try:
        with open_store(server.uri) as store:
            assert len(store) == 0
            assert stat.S_IMODE(server.address_file.stat().st_mode) == 0o600
            # One call, larger than what is taken from strangers, as the first on a connection.
            graph = tools.graph(1)
            store.put(1, graph, {}, quality=0, attributes={"notes": "x" * 5_000_000})
            assert store.info(1)["attributes"]["notes"] == "x" * 5_000_000
    finally:
        server.end()


@pytest.mark.slow
def test_a_log_that_outgrows_what_lives_is_written_anew(tmp_path, tools):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        empty = (folder / "log").stat().st_size
        for model_id in range(400):
            store.put(
                model_id, graph, {}, quality=0, attributes={"notes": notes_of(model_id, 100_000)}
            )
            if model_id == 0:
                record = (folder / "log").stat().st_size - empty
            if model_id >= 5:
                store.retire(model_id - 5)
        store.put(1000, graph, {}, quality=0)
        deadline = time.monotonic() + 60
        # Not by its inode, which a second rewriting may get back.
        while (folder / "log").stat().st_size >= 400 * record:
            assert time.monotonic() < deadline, "the log is not written anew"
            time.sleep(0.02)
    with open_store(f"embedded:{folder}") as store:
        assert sorted(store.models()["model_id"].to_pylist()) == [*range(395, 400), 1000]
        assert store.verify().ok


PING = 2

FLOOD = """
import sys, threading
import pyarrow
import pyarrow.flight as flight

address, beginning = sys.argv[1], bytes.fromhex(sys.argv[2])

def flood():
    client = flight.connect(address)
    try:
        list(client.do_action(flight.Action("parsl_tl.enter", beginning)))
        list(client.do_action(flight.Action("parsl_tl.call", beginning + bytes(60 << 20))))
    except pyarrow.ArrowException as error:
        print(type(error).__name__, error, flush=True)

for _ in range(3):
    threading.Thread(target=flood).start()
"""


def beginning_of_request(token):
    """A ping, as it goes before every message of a client with this token."""
    return request_header(PING, token=token)


@pytest.mark.slow
def test_who_shows_no_token_takes_no_memory(tmp_path):
    def peak(process):
        status = Path(f"/proc/{process.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def first_answer(server, token):
        """To three messages of 60 MB each at once."""
        address = server.address.replace("grpc+tcp", "grpc")
        command = [sys.executable, "-c", FLOOD, address, beginning_of_request(token).hex()]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        answer = run.stdout.readline()
        run.kill()
        run.communicate()
        return answer

    options = ("--token-file", tmp_path / "token")
    with running(tmp_path, "flight", 1, *options) as (server,):
        before = peak(server.process)
        assert "FlightUnavailableError" in first_answer(server, bytes(32))
        assert peak(server.process) - before < 30e6
        # The same of who shows it comes through, and is too much for another reason.
        assert "at most" in first_answer(server, read_token(tmp_path / "token"))
        assert peak(server.process) - before > 60e6
        assert server.process.poll() is None
