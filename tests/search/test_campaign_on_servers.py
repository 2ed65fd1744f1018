"""Whole campaigns whose store is on servers: the same as without them, and alive without them."""

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
from store_servers import SCHEMES, running, uri_of

from parsl_tl import Campaign, open_store
from parsl_tl.search.progress import SearchProgress
from parsl_tl.search.results import best_first

pytestmark = pytest.mark.slow

SETTINGS = {
    "population_size": 4,
    "sample_size": 2,
    "keep_best": 2,
    "space_args": {"num_layers": 2},
    "training": {"epochs": 2},
    "uid": "the same model ids in every campaign",
}
COMMAND = [sys.executable, "-m", "parsl_tl.cli", "search"]
NEW = [
    *("--problem", "digits", "--space", "dense-skip", "--space-arg", "num_layers=2"),
    *("--population-size", "4", "--sample-size", "2", "--keep-best", "2", "--epochs", "2"),
]
WORKERS = 2
REST_SECONDS = 5  # a client that found a server dead lets it alone for so long
SAME = ["job", "objective", "donor", "layers_matched", "layers_transferred", "bytes_stored"]


def search(out, count, *, progress=None, **kwargs):
    campaign = Campaign("digits", "dense-skip", out=out, **SETTINGS, **kwargs)
    return campaign, campaign.search(count, progress=progress)


class Outage(SearchProgress):
    """Kills a server in mid-search and starts it again.

    It acts in the process that drives the search, which meanwhile hands out nothing: so it is
    known which evaluations ran without the server, however fast they are.
    """

    DEAD_AFTER, BACK_AFTER = 5, 12

    def __init__(self, total, server):
        super().__init__(total)
        self.server = server

    def finished(self, *args, **kwargs):
        super().finished(*args, **kwargs)
        if self.done == self.DEAD_AFTER:
            self.server.kill()
        if self.done == self.BACK_AFTER:
            self.server.start()
            time.sleep(REST_SECONDS + 1)


def finished(out):
    path = out / "journal.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [e for e in map(json.loads, lines[:-1]) if e["event"] == "finished"]


def wait_for(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def contents(uri):
    """Everything of a store that an evaluation decides."""
    with open_store(uri, read_only=True) as store:
        assert store.verify().ok
        return {
            model_id: (
                store.info(model_id)["quality"],
                store.composition(model_id),
                {
                    name: [a.tobytes() for a in arrays]
                    for name, arrays in store.read(model_id).items()
                },
            )
            for model_id in store.models()["model_id"].to_pylist()
        }


def should_be_stored(results):
    good = results[results["objective"].notna()]
    best = best_first(results)["model_id"][:2]
    lost = " ".join(results["not_stored"].dropna()).split()
    return (set(good["model_id"].tail(4)) | set(best)) - set(lost)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, one_worker):
    """Results and models of a search that needs no server."""
    out = tmp_path_factory.mktemp("embedded") / "run"
    campaign, results = search(out, 14, kernel=one_worker)
    return results, contents(campaign.store_uri)


@pytest.mark.parametrize("kind", SCHEMES)
def test_servers_give_the_same_search(tmp_path, embedded, one_worker, kind):
    with running(tmp_path, kind, 2) as servers:
        _, results = search(tmp_path / "run", 14, store=uri_of(servers), kernel=one_worker)
        pd.testing.assert_frame_equal(results[SAME], embedded[0][SAME])
        assert results[["transfer_error", "store_error"]].isna().all(axis=None)
        assert results["layers_transferred"].sum() > 0
        assert contents(uri_of(servers)) == embedded[1]


def test_storing_in_the_background_gives_the_same_search(tmp_path, embedded, one_worker):
    progress = SearchProgress(14)
    campaign, results = search(
        tmp_path / "run", 14, overlap_store=True, progress=progress, kernel=one_worker
    )
    pd.testing.assert_frame_equal(results[SAME], embedded[0][SAME])
    assert results["store_pending"].all()
    assert not progress.store_failures
    assert contents(campaign.store_uri) == embedded[1]


@pytest.mark.parametrize("overlap", [pytest.param(False, marks=pytest.mark.full), True])
@pytest.mark.parametrize("kind", SCHEMES)
def test_a_server_dies_and_comes_back(tmp_path, kind, overlap):
    out = tmp_path / "run"
    with running(tmp_path, kind, 2) as servers:
        progress = Outage(30, servers[1])
        campaign, results = search(
            out,
            30,
            store=uri_of(servers),
            max_workers=WORKERS,
            overlap_store=overlap,
            progress=progress,
        )
        assert results["failure"].isna().all()
        assert len(results) == 30
        away = results["transfer_error"].notna()
        assert away.any()
        told = f"{away.sum()} without transfer"
        for text in (progress.summary(), campaign.summary(), repr(campaign)):
            assert told in text
            assert f"store server {servers[1].address} did not answer" in text
        settled = Outage.BACK_AFTER + 2 * WORKERS  # what ran meanwhile was let go before
        assert not away[settled:].any()
        assert results["layers_transferred"][settled:].sum() > 0
        table = pd.read_csv(out / "results.csv")
        assert table["transfer_error"].notna().sum() == away.sum()
        assert "store_error" in table
        with open_store(uri_of(servers)) as store:
            assert store.verify().ok
            stored = {f"{i:016x}" for i in store.models()["model_id"].to_pylist()}
        assert stored == should_be_stored(results)


def test_a_server_stays_away_and_is_elsewhere_when_the_search_is_resumed(tmp_path):
    out = tmp_path / "run"
    with running(tmp_path, "flight", 2) as servers:
        files = [str(server.address_file) for server in servers]
        command = [*COMMAND, *NEW, "--out", str(out), "--max-evals", "16", "--workers", "2"]
        run = subprocess.Popen(
            [*command, "--store", " ".join(files)], stdout=subprocess.PIPE, text=True
        )
        wait_for(lambda: len(finished(out)) >= 8)
        servers[1].kill()
        told, _ = run.communicate(timeout=240)
        assert run.returncode == 0
        assert "The search did not have its store all the time: " in told
        assert f"store server {servers[1].address} did not answer" in told
        assert " not retired" in told

        servers[1].address = "grpc+tcp://127.0.0.1:0"
        servers[1].start()
        done = subprocess.run(
            [
                *(*COMMAND, "--resume", "--out", str(out), "--max-evals", "20"),
                *("--workers", "2", "--store", " ".join(files)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert " not retired" not in done.stdout
        campaign = Campaign.resume(out)
        assert campaign.store_uri == uri_of(servers)
        with open_store(campaign.store_uri) as store:
            assert store.verify().ok
            stored = {f"{i:016x}" for i in store.models()["model_id"].to_pylist()}
        results = campaign.results
        assert len(results) == 20
        assert results["transfer_error"][16:].isna().all()
        assert stored == should_be_stored(results)


def test_a_search_that_stores_in_the_background_is_killed_and_carried_on(tmp_path):
    out = tmp_path / "run"
    command = [*COMMAND, *NEW, "--out", str(out), "--overlap-store", "--max-evals", "14"]
    run = subprocess.Popen([*command, "--workers", "2"])
    wait_for(lambda: len(finished(out)) >= 7)
    tree = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGKILL)
    run.wait()
    for child in tree:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    results = Campaign.resume(out, max_workers=2).search(14)
    assert sorted(results["job"]) == list(range(14))
    assert results["failure"].isna().all()
    with open_store(f"embedded:{out / 'store'}") as store:
        assert store.verify().ok
        stored = {f"{i:016x}" for i in store.models()["model_id"].to_pylist()}
    assert stored <= should_be_stored(results)  # what was on its way may be missing
    assert set(results["model_id"].tail(4)) <= stored
