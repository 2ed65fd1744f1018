"""Two sites with networks of their own: the link between them is cut, and one of them dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from followed_stores import wait_for

from parsl_tl import open_store
from parsl_tl.search.journal import read_journal

PROGRAM = Path(sys.executable).with_name("parsl-tl")
HOME, EAST, WEST = "10.231.0.1", "10.231.0.2", "10.231.0.3"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def has_namespaces():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"ptl-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        ip("netns", "delete", name)
    return made


pytestmark = [
    pytest.mark.slow,
    pytest.mark.full,
    pytest.mark.skipif(not has_namespaces(), reason="network namespaces need root and ip"),
]


class Node:
    """A network namespace with an address of its own, which all its interfaces answer for."""

    def __init__(self, name, address):
        self.name, self.address = f"ptl{os.getpid()}{name}", address
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "address", "add", f"{address}/32", "dev", "lo")

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def kill_all(self):
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        for pid in map(int, found.stdout.split()):
            os.kill(pid, signal.SIGKILL)

    def remove(self):
        self.kill_all()
        ip("netns", "delete", self.name)


class Link:
    """A cable between two nodes; each reaches the other's address over it."""

    def __init__(self, one, other):
        self.ends = [(one, f"to{other.name[-1]}"), (other, f"to{one.name[-1]}")]
        (_, first), (_, second) = self.ends
        ip(
            "-n",
            one.name,
            "link",
            "add",
            first,
            "type",
            "veth",
            "peer",
            "name",
            second,
            "netns",
            other.name,
        )
        for (node, device), peer in self._ends_and_peers():
            ip("-n", node.name, "link", "set", device, "up")
            ip("-n", node.name, "route", "add", peer.address, "dev", device, "src", node.address)

    def cut(self):
        """What is sent goes to nobody, and nobody says so."""
        for (node, device), peer in self._ends_and_peers():
            nobody = ("lladdr", "02:00:00:00:00:01", "dev", device, "nud", "permanent")
            ip("-n", node.name, "neighbour", "replace", peer.address, *nobody)

    def heal(self):
        for (node, device), peer in self._ends_and_peers():
            ip("-n", node.name, "neighbour", "delete", peer.address, "dev", device)

    def _ends_and_peers(self):
        return zip(self.ends, [node for node, _ in reversed(self.ends)], strict=True)

    def bytes_sent(self):
        """Returns what came over it, both ways together."""
        counts = 0
        for node, device in self.ends:
            shown = subprocess.run(
                ["ip", "-n", node.name, "-s", "-j", "link", "show", device],
                capture_output=True,
                text=True,
                check=True,
            )
            counts += json.loads(shown.stdout)[0]["stats64"]["rx"]["bytes"]
        return counts


CONFIG = '''
import shlex

from parsl.launchers.base import Launcher

from parsl_tl import load_config
from parsl_tl.federation import federate


class Inside(Launcher):
    """Has another launcher's command run in a network namespace."""

    def __init__(self, inner, namespace):
        super().__init__()
        self.inner, self.namespace = inner, namespace

    def __call__(self, command, *sizes):
        command = shlex.quote(self.inner(command, *sizes))
        return f"exec ip netns exec {self.namespace} bash -c {command}"


def config(max_workers=None, run_dir="runinfo", retries=2):
    sites = []
    for namespace in (EAST, WEST):
        site = load_config("local", max_workers=1)
        (executor,) = site.executors
        executor.address, executor.all_addresses = HOME, {HOME}
        provider = executor.provider
        provider.launcher = Inside(provider.launcher, namespace)
        sites.append(site)
    return federate(
        *sites, names=["east", "west"], stores=[None, STORE_OF_WEST], run_dir=run_dir
    )
'''


def serve(stack, node, folder, *options):
    address, log = folder / f"{node.name}.address", folder / f"{node.name}.log"
    words = ("--data", folder / node.name, "--address-file", address)
    token = ("--token-file", folder / "token")
    command = node.command(PROGRAM, "store", "serve", f"grpc+tcp://{node.address}:0", *words)
    with log.open("a") as file:
        server = subprocess.Popen(
            [*command, *map(str, (*token, *options))], stdout=file, stderr=subprocess.STDOUT
        )
    stack.enter_context(server)
    stack.callback(server.kill)
    wait_for(lambda: address.exists() or server.poll() is not None, "the server is there", 300)
    assert server.poll() is None, log.read_text()
    return address


def finished(run):
    journal = run / "journal.jsonl"
    return read_journal(journal) if journal.exists() else []


@pytest.fixture
def world(tmp_path):
    """The driver's node, two sites with a store each that follows the other one's, three links."""
    with ExitStack() as stack:
        nodes = []
        for name, address in (("h", HOME), ("e", EAST), ("w", WEST)):
            nodes.append(Node(name, address))
            stack.callback(nodes[-1].remove)
        home, east, west = nodes
        Link(home, east)
        Link(home, west)
        between = Link(east, west)
        # Each is told of the other's address file before there is one in it.
        east_store = serve(stack, east, tmp_path)
        west_store = serve(stack, west, tmp_path, "--follow", east_store)
        subprocess.run(home.command(PROGRAM, "store", "stop", east_store), check=True)
        east_store.unlink(missing_ok=True)
        east_store = serve(stack, east, tmp_path, "--follow", west_store)
        config = tmp_path / "two_sites.py"
        names = f"EAST, WEST = {east.name!r}, {west.name!r}\nHOME = {HOME!r}\n"
        config.write_text(f"{names}STORE_OF_WEST = {str(west_store)!r}\n{CONFIG}")
        yield home, west, between, east_store, config


def test_a_search_on_both_goes_on_without_the_link_and_without_one_of_them(world, tmp_path):
    home, west, between, east_store, config = world
    run = tmp_path / "run"
    command = home.command(
        *(PROGRAM, "search", "--config", config, "--store", east_store, "--out", run),
        *("--problem", "synthetic", "--problem-arg", "rows=500", "--space", "feed-forward"),
        *("--max-evals", 60, "--population-size", 8, "--sample-size", 3, "--epochs", 1),
    )
    with (tmp_path / "search.log").open("w") as log:
        search = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: len(finished(run)) >= 15 or search.poll() is not None, "a start", 300)
            between.cut()
            time.sleep(60)
            between.heal()
            cut_until = len(finished(run))
            wait_for(
                lambda: len(finished(run)) >= min(cut_until + 10, 50) or search.poll() is not None,
                "more after the link is there again",
                300,
            )
            west_total = num_bytes(tmp_path / west.name)
            crossed = between.bytes_sent()
            west.kill_all()
            assert search.wait(timeout=500) == 0, (tmp_path / "search.log").read_text()
        finally:
            search.kill()
    rows = finished(run)
    assert sorted(row["config"]["job"] for row in rows) == list(range(60))
    assert not [row for row in rows if isinstance(row["objective"], str)]
    sites = {row["metadata"].get("site") or row["metadata"].get("worker") for row in rows}
    donors = [row["metadata"]["donor"] for row in rows if row["metadata"].get("donor") is not None]
    assert len(donors) > 20
    status = subprocess.run(
        home.command(PROGRAM, "store", "status", east_store), capture_output=True, text=True
    )
    print(status.stdout, f"\n{crossed:,} bytes crossed; west had {west_total:,}; {sites}")
    for name, where in (("east", east_store), ("west", tmp_path / west.name)):
        checked = subprocess.run(
            home.command(PROGRAM, "store", "verify", where), capture_output=True, text=True
        )
        assert checked.returncode == 0, (name, checked.stdout, checked.stderr)
    with open_store(f"embedded:{tmp_path / west.name}", read_only=True) as store:
        there = {format(one, "016x") for one in store.models()["model_id"].to_pylist()}
    assert there, "the site that died has trained none"
    # What both sites gave is of both.
    assert {format(one, "016x") for one in donors} & there


def num_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.seg"))
