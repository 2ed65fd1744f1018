"""A search whose store is on its own nodes loses nothing when its servers are killed."""

import json
import signal
import subprocess
import sys

import node_pools
import pytest
import storing_campaign
from cluster_runs import processes, wait_until

from parsl_tl import Campaign, open_store
from parsl_tl.search.results import best_first

pytestmark = pytest.mark.slow

SEARCH = ["search", "--config", node_pools.__file__]
REAL = [sys.executable, "-m", "parsl_tl.cli", *SEARCH]
STORING = [sys.executable, storing_campaign.__file__, *SEARCH]
NEW = [
    *("--problem", "digits", "--space", "dense-skip", "--space-arg", "num_layers=2"),
    *("--population-size", "4", "--sample-size", "2", "--keep-best", "2", "--epochs", "1"),
    *("--store", "cluster:2"),
]


def finished(out):
    path = out / "journal.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(json.loads(line)["event"] == "finished" for line in lines[:-1])


def check(out, count):
    """All evaluations ended well, none missed the store, and the store has what it should."""
    campaign = Campaign.resume(out)
    results = campaign.results
    assert sorted(results["job"]) == list(range(count))
    assert results["failure"].isna().all()
    for name in ("transfer_error", "store_error"):
        assert name not in results or results[name].isna().all()
    assert results["layers_transferred"].sum() > 0
    with open_store(campaign.store_uri, read_only=True) as store:
        assert store.verify().ok
        stored = {f"{i:016x}" for i in store.models()["model_id"].to_pylist()}
    assert stored == set(results["model_id"].tail(4)) | set(best_first(results)["model_id"][:2])


@pytest.mark.parametrize(
    ("command", "count"),
    [(STORING, 24), pytest.param(REAL, 12, marks=pytest.mark.full)],
    ids=["stored", "trained"],
)
def test_servers_are_killed_and_the_search_loses_nothing(tmp_path, command, count):
    out = tmp_path / "run"
    command = [*command, *NEW, "--out", str(out), "--max-evals", str(count)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for number in range(2):
        wait_until(lambda after=4 * number + 2: finished(out) >= after or run.poll() is not None)
        store = str(out / "cluster" / f"server.{number}" / "store")
        (server,) = processes("store serve", store)
        server.send_signal(signal.SIGKILL)
    told, _ = run.communicate(timeout=300)
    assert run.returncode == 0, told
    assert "did not have its store" not in told
    check(out, count)
    wait_until(lambda: not processes("store serve", str(out)))


@pytest.mark.full
def test_a_search_is_resumed_with_the_store_that_it_left_on_the_nodes(tmp_path):
    out = tmp_path / "run"
    store = ["--store", f"cluster:2?data={tmp_path / 'disk'}"]
    for options in ([*NEW, *store, "--max-evals", "6"], ["--resume", "--max-evals", "10"]):
        done = subprocess.run([*REAL, *options, "--out", str(out)], stdout=subprocess.PIPE)
        assert done.returncode == 0, done.stdout
    check(out, 10)
    listed = [sys.executable, "-m", "parsl_tl.cli", "store", "ls", str(out)]
    assert subprocess.run(listed, stdout=subprocess.DEVNULL).returncode == 0
