"""The live page, asked by plain HTTP: who may see it, and what it tells as a journal grows."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from long_run import GrowingRun

from parsl_tl.cli import main
from parsl_tl.report.dashboard import Dashboard
from parsl_tl.report.page import rows_of

DEADLINE = 60


@pytest.fixture
def served(folder, tmp_path):
    growing = GrowingRun(folder, tmp_path)
    growing.grow(200)
    with Dashboard([tmp_path]) as board:
        thread = threading.Thread(target=board.serve)
        thread.start()
        try:
            yield growing, board
        finally:
            board.close()
            thread.join(DEADLINE)
            assert not thread.is_alive()


def get(board, path, token=None):
    token = board.token if token is None else token
    separator = "&" if "?" in path else "?"
    address = f"http://127.0.0.1:{board.port}/{path}{separator}token={token}"
    with urlopen(address, timeout=DEADLINE) as answer:
        return answer.read().decode()


def test_nobody_sees_it_without_the_token(served):
    _, board = served
    for path in ("", "rows?run=0", "events?version=0", "nothing"):
        for token in ("", "x", board.token[:-1], board.token + "x", "%ff%00"):
            with pytest.raises(HTTPError) as refused:
                get(board, path, token)
            assert refused.value.code == 403
            assert board.token not in refused.value.read().decode()
    with pytest.raises(HTTPError) as missing:
        get(board, "nothing")
    assert missing.value.code == 404
    for query in ("", "?run=7", "?run=-1", "?run=x", "?run=0&since=x"):
        with pytest.raises(HTTPError) as bad:
            get(board, f"rows{query}")
        assert bad.value.code == 400


def test_it_listens_on_this_machine_alone(served):
    _, board = served
    assert board._server.server_address[0] == "127.0.0.1"
    assert f"-L {board.port}:127.0.0.1:{board.port}" in board.tunnel


def read_event(answer):
    """Reads an event; passes over signs of life."""
    name = data = None
    while True:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = json.loads(line.removeprefix("data: "))
        elif not line and name:
            return name, data


def test_what_is_new_is_told(served, run):
    growing, board = served
    page = get(board, "")
    version = re.search(r"const VERSION=(\d+);", page)[1]
    before = json.loads(get(board, "rows?run=0"))
    assert 0 < len(before["job"]) < 300
    connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=DEADLINE)
    connection.request("GET", f"/events?version={version}&token={board.token}")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert read_event(answer) == ("counts", [{"rows": len(before["job"]), "active": False}])
    growing.grow(len(growing.lines))
    name, sections = read_event(answer)
    assert name == "sections"
    assert "300 of 304" in sections["run-0"]
    assert "views-0" in sections
    assert "rows-0" not in sections  # which did not change
    assert read_event(answer)[1][0]["rows"] == 300
    connection.close()
    later = json.loads(get(board, f"rows?run=0&since={len(before['job'])}"))
    assert {key: before[key] + later[key] for key in before} == rows_of(run)
    # Who has an older page is told everything, and a new one has it.
    connection.request("GET", f"/events?version={version}&token={board.token}")
    assert read_event(connection.getresponse())[1]["run-0"] == sections["run-0"]
    connection.close()
    assert sections["run-0"] in get(board, "")


def test_a_journal_that_is_damaged_meanwhile_is_told(served):
    growing, board = served
    connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=DEADLINE)
    connection.request("GET", f"/events?version=0&token={board.token}")
    answer = connection.getresponse()
    with (growing.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"event": "finished"}\n')
    names = []
    while "problem" not in names:
        name, told = read_event(answer)
        names.append(name)
    assert "line 201, is damaged" in told
    connection.close()


@pytest.mark.slow
def test_the_program_ends_by_a_signal(folder):
    command = [sys.executable, "-m", "parsl_tl.cli", "dashboard", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[1]
        with urlopen(address, timeout=DEADLINE) as answer:
            assert "How it went" in answer.read().decode()
        assert "ssh -N -L" in process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(DEADLINE) == 0


def test_a_port_that_is_taken(served, capsys):
    growing, board = served
    assert main(["dashboard", str(growing.folder), "--port", str(board.port)]) == 2
    assert "name another one with --port" in capsys.readouterr().err
