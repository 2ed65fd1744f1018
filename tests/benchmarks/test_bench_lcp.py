"""The benchmark of prefixes: a tiny real one, wrong answers, wrong options, what it leaves."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from processes_left import nothing_left, processes_left
from rich.console import Console

from parsl_tl.benchmarks.core import queries as queries_module
from parsl_tl.benchmarks.core import room
from parsl_tl.benchmarks.core.queries import Queries
from parsl_tl.benchmarks.core.suite import frames_of
from parsl_tl.benchmarks.suites import prefix_methods
from parsl_tl.benchmarks.suites.prefix import PrefixSuite
from parsl_tl.benchmarks.suites.prefix_methods import METHODS, _Store, missing_methods
from parsl_tl.benchmarks.suites.prefix_timing import measure_opening, measure_processes
from parsl_tl.errors import BenchmarkError, ParslTLError
from parsl_tl.population.catalog import evolve_catalog, random_queries
from parsl_tl.reporting.frame_plots import save_plots
from parsl_tl.reporting.tables import print_table
from parsl_tl.store import open_store

# Many processes, or much TensorFlow.
pytestmark = [pytest.mark.slow, pytest.mark.redis]

COLUMNS = [
    "catalog",
    "method",
    "queries",
    "num_queries",
    "p50_us",
    "p99_us",
    "mean_us",
    "per_second_1",
    "per_second_2",
    "build_seconds",
    "bytes_per_model",
    "layers_per_model",
    "speedup_vs_walk",
    "same_answers",
]
SIZES = (200, 1000)


def tiny(tmp_path, **changes):
    given = {
        "sizes": SIZES,
        "queries": 60,
        "agreement": 40,
        "networkx_up_to": 200,
        "processes": (1, 2),
        "folder": tmp_path,
        "method_seconds": 0.05,
        **changes,
    }
    return PrefixSuite(**given)


def run_lcp_bench(settings, progress=lambda share, text: None):
    return settings.checked().measure(progress)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Rows of all methods that are installed; the benchmark itself compares their answers."""
    folder = tmp_path_factory.mktemp("bench")
    shares = []
    rows = run_lcp_bench(tiny(folder), lambda share, text: shares.append(share))
    assert nothing_left(folder)
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    return rows


def test_every_method_has_a_row_per_size_and_kind(everything):
    assert all(set(row) == set(COLUMNS) for row in everything["lcp"])
    rows = pd.DataFrame(everything["lcp"])
    installed = set(METHODS) - set(missing_methods())
    for size in SIZES:
        expected = installed - ({"networkx"} if size == 1000 else set())
        for kind in ("random", "mutated"):
            own = rows[(rows.catalog == size) & (rows.queries == kind)]
            assert sorted(own.method) == sorted(expected)
    assert (rows.same_answers == 40).all()


def test_figures_fit_each_other(everything):
    rows = pd.DataFrame(everything["lcp"])
    assert (rows.p50_us <= rows.p99_us).all()
    assert rows.num_queries.between(20, 60).all()
    assert (rows[["p50_us", "per_second_1", "build_seconds"]] > 0).all(axis=None)
    threaded = rows.method.isin(["store", "walk", "walk-arrays"])
    assert (rows.per_second_2.notna() == threaded).all()
    singly = rows[~threaded]
    assert (singly.per_second_1 * singly.mean_us / 1e6).between(0.999, 1.001).all()
    assert rows.layers_per_model.between(20, 80).all()
    walks = rows[rows.method == "walk"].set_index(["catalog", "queries"]).mean_us
    for row in rows.itertuples():
        ratio = walks[row.catalog, row.queries] / row.mean_us
        assert row.speedup_vs_walk == pytest.approx(ratio)
    large = rows[rows.catalog == 1000].groupby("method").bytes_per_model.first()
    assert 300 < large["store"] < 5000
    # What is built may lie in memory that was freed before: only a bound from above holds always.
    assert large["walk-arrays"] < large["walk"] < 50_000


def test_opening_and_sharing_are_measured(everything):
    assert [row["catalog"] for row in everything["openings"]] == list(SIZES)
    for row in everything["openings"]:
        assert 0 < row["open_seconds"] <= row["open_query_seconds"]
        assert row["replay_seconds"] > 0
        assert min(row["bytes_log"], row["bytes_snapshot"]) > 300 * row["catalog"]
    one, two = everything["processes"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["catalog"] == two["catalog"] == 1000
    assert one["ratio_to_first"] == 1.0
    assert one["pss_growth_bytes"] > 200_000
    # The second process brings hardly anything, where its own copy would double it.
    assert two["ratio_to_first"] < 1.6


def test_tables_fit_a_hundred_columns(everything, tmp_path):
    queries = [
        {**row, "catalog": 1_000_000, "p50_us": 198_765.4, "p99_us": 234_567.8}
        for row in everything["lcp"]
    ]
    tables = PrefixSuite().summary(frames_of({**everything, "lcp": everything["lcp"] + queries}))
    assert len(tables) == 5
    for title, table in tables:
        output = io.StringIO()
        print_table(title, table, Console(file=output, width=100))
        lines = output.getvalue().splitlines()
        assert "…" not in output.getvalue()
        assert max(map(len, lines)) <= 100
        # No cell is broken: a line per row, besides title, a head of two lines, and borders.
        assert len(lines) <= len(table) + 3 + 2 + title.count("\n") + 1
    assert len(save_plots(PrefixSuite().plots(frames_of(everything)), tmp_path)) == 3


def test_without_the_store_there_is_nothing_to_open(tmp_path):
    rows = run_lcp_bench(tiny(tmp_path, sizes=(200,), methods=("walk-arrays",)))
    assert rows["openings"] == rows["processes"] == []
    assert [row["same_answers"] for row in rows["lcp"]] == [None, None]
    assert [row["speedup_vs_walk"] for row in rows["lcp"]] == [None, None]
    assert len(save_plots(PrefixSuite().plots(frames_of(rows)), tmp_path / "plots")) == 2
    ((_, table),) = [
        (title, own) for title, own in PrefixSuite().summary(frames_of(rows)) if len(own)
    ]
    assert table.method.tolist() == ["walk-arrays"]


def other_model(found, query):
    found[query, 0] += np.uint64(1)


def other_length(found, query):
    found[query, 1] -= np.uint64(1)


def no_model(found, query):
    found[query] = 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_model, r"catalog of 200 models, random query 33: walk finds model \d+ with \d+ c"),
        (other_length, r"random query 33: .* common layers, store finds model \d+ with"),
        (no_model, r"store finds no model; leave one of them out"),
    ],
)
def test_one_wrong_answer_ends_the_benchmark(spoil, message, tmp_path, monkeypatch):
    many = _Store.many

    def answer_wrongly(self, queries, threads):
        found = many(self, queries, threads)
        if len(found) > 33:
            spoil(found, 33)
        return found

    monkeypatch.setattr(_Store, "many", answer_wrongly)
    with pytest.raises(BenchmarkError, match=message):
        run_lcp_bench(tiny(tmp_path, sizes=(200,), methods=("walk", "store")))
    assert nothing_left(tmp_path)


def test_a_wrong_answer_to_a_single_query_is_seen_too(tmp_path, monkeypatch):
    answer = _Store.answer
    monkeypatch.setattr(_Store, "answer", staticmethod(lambda found: (answer(found)[0], 1)))
    with pytest.raises(BenchmarkError, match=r"query \d+: walk-arrays finds .*, store finds"):
        run_lcp_bench(tiny(tmp_path, sizes=(200,), methods=("walk-arrays", "store")))
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": ()}, "sizes must be one or more"),
        ({"sizes": (1000, 0)}, "sizes=0 must be at least 1"),
        ({"sizes": (10**9,)}, "sizes"),
        ({"queries": 0}, "queries=0 must be at least 1"),
        ({"agreement": 61}, "agreement=61 must be at most .* 60"),
        ({"agreement": 0}, "agreement=0"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"methods": ("tape",)}, "unknown method 'tape'; choose from walk, "),
        ({"methods": ()}, "no method is named"),
        ({"folder": Path("/nowhere")}, "/nowhere is no folder, or cannot be written"),
        ({"sizes": (10**8,)}, "smaller --sizes"),
    ],
)
def test_wrong_settings_are_refused(changes, message, tmp_path):
    with pytest.raises(ParslTLError, match=message):
        run_lcp_bench(tiny(tmp_path, **changes))
    assert nothing_left(tmp_path)


def test_a_lack_of_memory_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr(room.psutil, "virtual_memory", lambda: SimpleNamespace(available=1e6))
    with pytest.raises(BenchmarkError, match=r"0.0 GB of memory are available, .* smaller --sizes"):
        run_lcp_bench(tiny(tmp_path))


def test_a_method_that_is_missing_is_left_out_unless_it_was_named(tmp_path, monkeypatch):
    monkeypatch.setattr(prefix_methods, "redis_missing", lambda: "redis-server is away: fetch it")
    assert "redis" not in tiny(tmp_path).checked().methods
    with pytest.raises(BenchmarkError, match="'redis': redis-server is away: fetch it"):
        tiny(tmp_path, methods=("redis", "walk")).checked()


def test_settings_come_out_in_order(tmp_path):
    changes = {"sizes": (1000, 200, 1000), "methods": ("store", "walk"), "folder": None}
    checked = tiny(tmp_path, **changes).checked()
    assert checked.sizes == (200, 1000)
    assert checked.methods == ("walk", "store")
    assert checked.folder is not None
    assert checked.folder.is_dir()
    assert PrefixSuite().methods_at(60_000) == ()
    limited = tiny(tmp_path, methods=METHODS, walk_up_to=500, redis_up_to=100)
    assert limited.methods_at(200) == ("walk", "walk-arrays", "networkx", "store")
    assert limited.methods_at(1000) == ("store",)


def test_parts_of_queries_are_queries(catalog):
    queries = Queries.of("any", catalog)
    part = queries.part(1500, 1700)
    alone = part.models.layer_keys()
    assert len(part) == 200
    assert part.keys.tolist() == alone.tolist()
    for index in (0, 57, 199):
        whole = catalog.edges[catalog.edges_of(1500 + index)]
        assert part.models.edges[part.models.edges_of(index)].tolist() == whole.tolist()


def test_models_stored_in_pieces_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(queries_module, "_PIECE", 70)
    methods = ("walk", "store")
    rows = run_lcp_bench(tiny(tmp_path, sizes=(200,), methods=methods, processes=(1,)))
    assert {row["same_answers"] for row in rows["lcp"]} == {40}


def test_a_process_that_fails_is_told(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "other.txt").write_text("no store")
    queries = Queries.of("random", random_queries(5, seed=1))
    with pytest.raises(BenchmarkError, match="ask_the_store: StoreFormat"):
        measure_processes(tmp_path / "store", queries, (2,))
    assert processes_left() == []


def test_a_process_that_is_killed_ends_the_others(tmp_path):
    def kill_one():
        while not (found := processes_left()):
            time.sleep(0.01)
        found[-1].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    queries = Queries.of("random", random_queries(5, seed=1))
    with pytest.raises(BenchmarkError, match="ask_the_store: the process was killed by SIGKILL"):
        measure_processes(tmp_path / "store", queries, (3,))
    killer.join()
    assert processes_left() == []


def test_the_store_stays_as_it_was(tmp_path):
    catalog = evolve_catalog(100, seed=1)
    queries = Queries.of("random", random_queries(5, seed=1))
    with _Store(tmp_path / "store") as method:
        method.build(catalog)
    (row,) = measure_processes(tmp_path / "store", queries, (1,))
    assert row["catalog"] == 100
    measure_opening(tmp_path / "store", queries)
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        assert len(store) == 100
        assert store.verify().problems == []


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    calls = []

    def interrupt(share, text):
        calls.append(text)
        # The second word of a method comes from within, when it holds its catalog.
        if text.startswith(method) and calls.count(text) == 2:
            raise KeyboardInterrupt

    for method in {"walk", "redis", "store"} - set(missing_methods()):
        with pytest.raises(KeyboardInterrupt):
            run_lcp_bench(tiny(tmp_path, sizes=(200,), methods=(method,)), interrupt)
        calls.clear()
        assert nothing_left(tmp_path)


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "parsl_tl.cli", "bench", "lcp", "--out", str(tmp_path / "out")]
    command += ["--folder", str(tmp_path), "--sizes", "500", "20000", "--queries", "200"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "walk-arrays, 500" in line:
            break
    time.sleep(0.5)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not any(child.is_running() for child in family)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
