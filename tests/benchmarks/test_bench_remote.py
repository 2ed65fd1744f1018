"""The benchmark of servers: a tiny real one, its command, wrong options, what it leaves behind."""

import io
import json
from pathlib import Path

import pandas as pd
import psutil
import pytest
from processes_left import nothing_left, processes_left, workers
from rich.console import Console

from parsl_tl.benchmarks import formats
from parsl_tl.benchmarks.core.servers import serving
from parsl_tl.benchmarks.core.suite import frames_of
from parsl_tl.benchmarks.suites import remote as bench
from parsl_tl.benchmarks.suites.remote import RemoteSuite
from parsl_tl.benchmarks.suites.remote_report import plots, summary, target_rows
from parsl_tl.cli import main
from parsl_tl.errors import BenchmarkError, NativeModuleError, ParslTLError
from parsl_tl.reporting.frame_plots import save_plots
from parsl_tl.reporting.tables import print_table
from parsl_tl.store.transports import has_thallium

# Many processes, or much TensorFlow.
pytestmark = [pytest.mark.slow, pytest.mark.redis]

FLIGHT = "grpc+tcp"
BASELINES = ("bare", "memcpy", "redis", "hdf5", "embedded")
MOVED_COLUMNS = [
    *("series", "transport", "providers", "clients", "method", "operation", "part", "how"),
    *("model_mb", "layers", "bytes", "items", "seconds_median", "seconds_min"),
    *("gb_per_s", "gb_per_s_best", "items_per_s", "items_per_s_best", "repeats"),
    *(f"{best}ratio_to_{name}" for name in BASELINES for best in ("", "best_")),
]
LATENCY_COLUMNS = {
    *("transport", "kind", "models", "queries", "way", "p50_us", "p99_us"),
    *("rpcs_beside_engine", "best_rpcs_beside_engine"),
}
OPERATIONS = {
    "memcpy": 2,
    "bare": 3,
    "plain": 2,
    "redis": 2,
    "hdf5": 3,
    "embedded": 2,
    "store": 5,
}  # of each part


def tiny(tmp_path, **changes):
    given = {
        "sizes": (1.0,),
        "clients": (1, 2),
        "providers": (1,),
        "transports": (FLIGHT,),
        "folder": tmp_path,
        "layers": 5,
        "total_mb": 0.1,
        "models": 300,
        "queries": 30,
        "catalogs": (1, 20),
        "small_queries": 10,
        "min_rounds": 2,
        "max_rounds": 2,
        "case_seconds": 0.1,
        **changes,
    }
    return RemoteSuite(**given)


def run_remote_bench(settings, progress=lambda share, text: None):
    return settings.checked().measure(progress)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Rows of all methods that are installed, over Flight.

    The benchmark itself compares what every operation delivers with what was put.
    """
    folder = tmp_path_factory.mktemp("bench")
    shares = []
    rows = run_remote_bench(tiny(folder), lambda share, text: shares.append(share))
    assert nothing_left(folder)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    return rows


def test_every_operation_has_a_row(everything):
    assert all(list(row) == MOVED_COLUMNS for row in everything["remote"])
    found = pd.DataFrame(everything["remote"])
    methods = set(formats.methods_of("remote")) - set(formats.missing_methods("remote"))
    per_part = sum(OPERATIONS[method] for method in methods)
    sizes, totals = (found[found.series == series] for series in ("sizes", "totals"))
    assert len(sizes) == 2 * per_part
    assert len(totals) == 2 * (per_part + 2)
    assert set(found.method) == methods
    assert not found.duplicated(list(MOVED_COLUMNS[:9])).any()
    whole, tenth = (sizes[sizes.part == part].bytes.unique() for part in ("whole", "tenth"))
    assert whole.item() == pytest.approx(1e6, rel=0.03)
    assert tenth.item() * 5 == whole.item()  # at least one layer, here of five
    moved = totals[(totals.clients == 2) & (totals.operation != "query")]
    assert moved.bytes.unique().item() == pytest.approx(2 * 1e5, rel=0.03)
    assert set(totals[totals.operation == "query"]["items"]) == {100, 200}


def test_figures_fit_each_other(everything):
    rows = pd.DataFrame(everything["remote"])
    assert (rows.repeats == 2).all()
    assert (rows.seconds_min > 0).all()
    assert (rows.seconds_min <= rows.seconds_median).all()
    assert (rows.items_per_s * rows.seconds_median / rows["items"]).between(0.999, 1.001).all()
    sizes = rows[(rows.series == "sizes") & (rows.part == "whole")].set_index(["method", "how"])
    into, fresh = (sizes.loc[("memcpy", how)] for how in ("into", "fresh"))
    for how, copy in (("network, into", into), ("network, fresh", fresh), ("mapped, into", into)):
        row = sizes.loc[("store", how)]
        assert row.ratio_to_memcpy == pytest.approx(copy.seconds_median / row.seconds_median)
        assert row.best_ratio_to_memcpy == pytest.approx(copy.seconds_min / row.seconds_min)
    ratio = sizes.loc[("store", "network")].ratio_to_bare
    puts = sizes.loc[[("bare", "put"), ("store", "network")]].seconds_median
    assert ratio == pytest.approx(puts.iloc[0] / puts.iloc[1])
    for how, bare in (("network, into", "into"), ("network, fresh", "get")):
        row = sizes.loc[("store", how)]
        seconds = sizes.loc[("bare", bare)].seconds_median
        assert row.ratio_to_bare == pytest.approx(seconds / row.seconds_median)


def test_latencies_tell_what_is_the_engine_s(everything):
    found = pd.DataFrame(everything["remote_latency"])
    assert set(found.columns) - {"min_us"} == LATENCY_COLUMNS
    ways = {"query", "match", "ping", "engine's query", "engine's match", "server's own clock"}
    ways.add("bare rpc")
    for _, own in found.groupby("kind"):
        assert set(own.way) == ways
        medians = own.set_index("way").p50_us
        assert medians["query"] > medians["engine's query"] > 0
    assert set(found.kind) == {"random", "mutated"}
    assert (found.p50_us <= found.p99_us).all()
    assert found.rpcs_beside_engine.notna().sum() == 2


def test_small_catalogs_are_asked_beside_a_walk(everything):
    # Whether all ways find the same model and the same layers, the benchmark itself compares.
    rows = pd.DataFrame(everything["remote_small"])
    assert set(zip(rows.models, rows.clients, strict=True)) == {(1, 1), (1, 2), (20, 1), (20, 2)}
    for (_, clients), own in rows.groupby(["models", "clients"]):
        assert list(own.way) == ["match", "query", "walk"]
        assert own.ratio_to_walk.iloc[2] == pytest.approx(1.0)
        assert own.p50_us.notna().all() == (clients == 1)
    single = rows[rows.clients == 1].set_index(["models", "way"])
    for models in (1, 20):
        ratio = single.p50_us[models, "walk"] / single.p50_us[models, "match"]
        assert single.ratio_to_walk[models, "match"] == pytest.approx(ratio)
    assert (rows.queries == 2 * 10).all()
    assert (rows.server_mb > 10).all()


def test_tables_fit_a_hundred_columns(everything, tmp_path):
    large = {"gb_per_s": 123.4, "ratio_to_bare": 12.34, "best_ratio_to_bare": 12.34}
    schemes = ("grpc+tcp", "ofi+tcp", "na+sm")
    moved = [
        {**row, **large, "model_mb": 256 * row["model_mb"], "transport": scheme}
        for row in everything["remote"]
        for scheme in schemes
    ]
    small = [{**row, "p99_us": 12345.6} for row in everything["remote_small"]]
    latencies = [
        {**row, "p99_us": 12345.6, "transport": scheme}
        for row in everything["remote_latency"]
        for scheme in schemes
    ]
    tables = {"remote": moved, "remote_latency": latencies, "remote_small": small}
    targets = target_rows({name: pd.DataFrame(rows) for name, rows in tables.items()})
    shown = summary(frames_of({**tables, "remote_targets": targets}))
    assert len(shown) == 3 * 4 + 1 + bool(small) + 1
    for title, table in shown:
        output = io.StringIO()
        print_table(title, table, Console(file=output, width=100))
        assert "…" not in output.getvalue()
        assert max(map(len, output.getvalue().splitlines())) <= 100
    assert len(save_plots(plots(frames_of(everything)), tmp_path)) == 2 + 4 + 1


def test_targets_are_judged_by_their_ratios(everything):
    def rows(seconds, **changes):
        return [
            {**row, "seconds_median": seconds, "items_per_s": 10.0, **changes}
            for row in everything["remote"]
        ]

    ratios = {"model_mb": 16.0, "ratio_to_bare": 0.9, "best_ratio_to_bare": 0.95}
    latency = {"transport": FLIGHT, "kind": "random", "way": "query"}
    latency |= {"rpcs_beside_engine": 1.6, "best_rpcs_beside_engine": 1.4}
    more = [
        {**row, "clients": 8, "items_per_s": 9.0, "gb_per_s": 0.0}
        for row in rows(1.0)
        if row["clients"] == 2
    ]
    moved = [*rows(1.0, **ratios, ratio_to_memcpy=0.7, best_ratio_to_memcpy=0.8), *more]
    frames = {"remote": pd.DataFrame(moved), "remote_latency": pd.DataFrame([latency])}
    found = target_rows({**frames, "remote_small": pd.DataFrame()})
    met = {row["what"]: row["met"] for row in found}
    assert met["put, 16 MB, of bare"]
    assert met["put, 16 MB, of bare and a new file"]  # both in the time of twice the one
    assert met["get into arrays, 16 MB, of bare"]
    assert not met["get mapped, 16 MB, of memcpy"]
    assert not met["query, random: bare rpcs beside engine"]
    assert not met["put, 1 server: 8 to 2 clients"]
    assert len(found) == 4 + 1 + 1 + 4


def test_the_command_writes_results(tmp_path, capsys):
    out, folder = tmp_path / "results" / "remote", tmp_path / "servers"
    folder.mkdir()
    command = ["bench", "remote", "--quick", "--out", str(out), "--folder", str(folder)]
    command += ["--sizes", "1", "--clients", "1", "--providers", "2", "--transports", FLIGHT]
    command += ["--methods", "memcpy", "store", "--models", "200", "--queries", "20"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "servers:   0% evolve 200 models" in printed
    assert "grpc+tcp, 2 servers, 16 MB, 1 client" in printed
    assert "get mapped, again" in printed
    assert max(map(len, printed.splitlines())) <= 120
    rows = pd.read_csv(out / "remote.csv")
    assert list(rows.columns) == MOVED_COLUMNS
    # Sizes are those of one server, also where totals are not.
    assert set(zip(rows.series, rows.providers, strict=True)) == {("sizes", 1), ("totals", 2)}
    assert len(rows) == len(pd.read_parquet(out / "remote.parquet")) == 2 * 7 + 7 + 1
    assert len(pd.read_csv(out / "remote_latency.csv")) == 2 * 6
    assert "numpy" in json.loads((out / "machine.json").read_text())["packages"]
    assert (out / "get_grpc_tcp.png").stat().st_size > 1000
    assert list(folder.iterdir()) == []
    assert processes_left() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (0.0,)}, "sizes=0.0 must be above 0"),
        ({"clients": ()}, "clients must be one or more"),
        ({"clients": (1, 65)}, "clients=65 must be at most 64"),
        ({"providers": (-4,)}, "providers=-4"),
        ({"models": 0}, "models=0 must be at least 1"),
        ({"queries": -1}, "queries=-1"),
        ({"catalogs": (0,)}, "catalogs=0"),
        ({"seed": -1}, "seed=-1"),
        ({"methods": ("tape",)}, "unknown method 'tape'; choose from memcpy, bare"),
        ({"methods": ()}, "no method"),
        ({"transports": ("pigeon",)}, r"unknown transport 'pigeon'; choose from grpc\+tcp"),
        ({"transports": ()}, "no transport"),
        ({"folder": Path("/nowhere")}, "/nowhere is no folder"),
        ({"sizes": (900_000.0,)}, "choose smaller --sizes"),
    ],
)
def test_wrong_settings_are_refused(changes, message, tmp_path):
    with pytest.raises(ParslTLError, match=message):
        run_remote_bench(tiny(tmp_path, **changes))


def test_what_is_missing_is_left_out_unless_it_was_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "parsl_tl.benchmarks.formats.redis.redis_missing", lambda: "no redis-server: fetch it"
    )
    transport_module = bench.transport_module

    def without_shared_memory(scheme):
        if scheme == "na+sm":
            raise NativeModuleError("no Thallium")
        return transport_module(scheme)

    monkeypatch.setattr(bench, "transport_module", without_shared_memory)
    settings = tiny(tmp_path).checked()
    assert settings.methods is not None
    assert "redis" not in settings.methods
    assert settings.checked() == settings
    with pytest.raises(BenchmarkError, match="'redis': no redis-server: fetch it"):
        tiny(tmp_path, methods=("redis",)).checked()
    with pytest.raises(BenchmarkError, match=r"'na.sm': no Thallium"):
        tiny(tmp_path, transports=("na+sm",)).checked()


def test_a_server_that_does_not_start_tells_why(tmp_path):
    with (
        pytest.raises(BenchmarkError, match=r"did not start.*can be reached by others"),
        serving("grpc+tcp://0.0.0.0:0", tmp_path, 2),
    ):
        pass
    assert processes_left() == []


def test_a_bare_server_that_does_not_start_tells_why(tmp_path):
    with (
        pytest.raises(BenchmarkError, match="a bare-server did not start"),
        serving("grpc+tcp://192.0.2.1:7", tmp_path, 2, bare=FLIGHT),
    ):
        pass
    assert processes_left() == []


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    def interrupt(share, text):
        if share > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_remote_bench(tiny(tmp_path), interrupt)
    assert nothing_left(tmp_path)


@pytest.mark.slow
def test_a_server_that_dies_ends_the_benchmark(tmp_path):
    def kill_it(share, text):
        if share > 0:
            for child in psutil.Process().children():
                if "store serve" in " ".join(child.cmdline()):
                    child.kill()

    with pytest.raises(BenchmarkError, match="StoreUnreachableError"):
        run_remote_bench(tiny(tmp_path), kill_it)
    assert nothing_left(tmp_path)


@pytest.mark.slow
def test_a_client_that_dies_ends_the_benchmark(tmp_path):
    def kill_one(share, text):
        if share > 0:
            workers()[0].kill()

    with pytest.raises(BenchmarkError, match="move_models: the process was killed by SIGKILL"):
        run_remote_bench(tiny(tmp_path, methods=("store",)), kill_one)
    assert nothing_left(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not has_thallium(), reason="compiled without Thallium")
def test_thallium_is_measured_likewise(tmp_path):
    family = set()

    def note(share, text):
        family.update(child.pid for child in psutil.Process().children())

    settings = tiny(tmp_path, transports=("ofi+tcp", "na+sm"), providers=(1, 2))
    found = pd.DataFrame(run_remote_bench(settings, note)["remote"])
    counts = found.groupby("transport").size()
    assert set(counts.index) == {"ofi+tcp", "na+sm"}
    assert counts.nunique() == 1
    assert nothing_left(tmp_path)
    # Whoever used the machine's shared memory took it along.
    names = [path.name for path in Path("/dev/shm").glob("na_sm-*")]
    assert not family & {int(name.split("-")[1]) for name in names}
