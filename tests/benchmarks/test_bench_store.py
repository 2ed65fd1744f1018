"""The store benchmark: a tiny real one, its command, wrong options, and what it leaves behind."""

import io
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from processes_left import nothing_left, processes_left, workers
from rich.console import Console

from parsl_tl.benchmarks.core.room import DISK, SHM, folder_kind
from parsl_tl.benchmarks.core.suite import frames_of
from parsl_tl.benchmarks.core.task_runner import Where, task_runner
from parsl_tl.benchmarks.formats import methods_of, missing_methods
from parsl_tl.benchmarks.formats.method import Case
from parsl_tl.benchmarks.suites.bandwidth import move_models
from parsl_tl.benchmarks.suites.store import StoreSuite, measure_storage
from parsl_tl.cli import main
from parsl_tl.errors import BenchmarkError, ParslTLError
from parsl_tl.reporting.frame_plots import save_plots
from parsl_tl.reporting.tables import print_table
from parsl_tl.store import open_store

# Many processes, or much TensorFlow.
pytestmark = [pytest.mark.slow, pytest.mark.redis]

METHODS = tuple(methods_of("store"))
LIGHT = ("memcpy", "plain", "store")
COLUMNS = [
    "folder_kind",
    "method",
    "operation",
    "part",
    "how",
    "model_mb",
    "layers",
    "processes",
    "bytes",
    "seconds_median",
    "seconds_min",
    "gb_per_s",
    "ratio_to_baseline",
    "repeats",
]


def tiny(tmp_path, **changes):
    given = {
        "sizes": (1.0,),
        "layers": (5,),
        "processes": (1, 2),
        "folders": (tmp_path,),
        "min_rounds": 2,
        "max_rounds": 3,
        "case_seconds": 0.1,
        "storage_models": 20,
        **changes,
    }
    return StoreSuite(**given)


def run_store_bench(settings, progress=lambda share, text: None):
    return settings.checked().measure(progress)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Rows of all methods that are installed, with one process and two, on all folders there are.

    The benchmark itself compares what every operation delivers with what was written.
    """
    folder = tmp_path_factory.mktemp("bench")
    folders = [folder]
    if folder_kind(folder) == DISK and SHM.is_dir() and os.access(SHM, os.W_OK):
        folders.append(SHM)
    shares = []
    tables = run_store_bench(
        tiny(folder, folders=tuple(folders)), lambda share, text: shares.append(share)
    )
    assert nothing_left(folder)
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    return tables, [folder_kind(folder) for folder in folders]


def test_every_combination_has_a_row(everything):
    rows, kinds = everything[0]["store"], everything[1]
    assert all(list(row) == COLUMNS for row in rows)
    found = pd.DataFrame(rows)
    methods = set(METHODS) - set(missing_methods("store"))
    per_case = 2 + 2 * 2 * len(methods - {"memcpy", "store"}) + 2 * (2 + 12)
    for kind in kinds:
        for processes in (1, 2):
            case = found[(found.folder_kind == kind) & (found.processes == processes)]
            assert len(case) == per_case
            assert set(case.method) == methods
            assert not case.duplicated(["method", "operation", "part", "how"]).any()
            whole, tenth = (case[case.part == part].bytes.unique() for part in ("whole", "tenth"))
            assert whole.item() == pytest.approx(processes * 1e6, rel=0.03)
            assert tenth.item() * 5 == whole.item()  # at least one layer, here of five
    assert len(found) == per_case * 2 * len(kinds)


def test_figures_fit_each_other(everything):
    rows = pd.DataFrame(everything[0]["store"])
    assert (rows.repeats >= 2).all()
    assert (rows.seconds_min > 0).all()
    assert (rows.seconds_min <= rows.seconds_median).all()
    assert (rows.gb_per_s * rows.seconds_median * 1e9 / rows.bytes).between(0.999, 1.001).all()
    baselines = rows[rows.method.isin(["plain", "memcpy"]) & (rows.ratio_to_baseline == 1.0)]
    assert set(zip(baselines.method, baselines.operation, strict=True)) == {
        ("plain", "write"),
        ("memcpy", "read"),
    }
    case = ["folder_kind", "operation", "part", "processes"]
    joined = rows.merge(baselines[[*case, "seconds_median"]], on=case, suffixes=("", "_base"))
    assert len(joined) == len(rows)
    ratios = joined.seconds_median_base / joined.seconds_median
    assert (ratios / joined.ratio_to_baseline).between(0.999, 1.001).all()


def test_tables_fit_a_hundred_columns(everything, tmp_path):
    tables, kinds = everything
    rows = [{**row, "model_mb": 256.0, "layers": 200, "gb_per_s": 123.4} for row in tables["store"]]
    rows += [{**row, "processes": 16} for row in rows if row["processes"] == 1]
    shown = StoreSuite().summary(frames_of({**tables, "store": rows}))
    assert len(shown) == 4 * len(kinds) + 2
    for title, table in shown:
        output = io.StringIO()
        print_table(title, table, Console(file=output, width=100))
        lines = output.getvalue().splitlines()
        assert "…" not in output.getvalue()
        assert max(map(len, lines)) <= 100
        # No cell is broken: a line per row, besides title, head and borders.
        if "views" not in title and "evolved" not in title:
            assert len(lines) == len(table) + 6
    assert len(save_plots(StoreSuite().plots(frames_of(tables)), tmp_path)) == 4 * len(kinds)


def test_the_command_writes_results(tmp_path, capsys):
    out = tmp_path / "results" / "store"
    command = ["bench", "store", "--quick", "--out", str(out), "--sizes", "0.1", "--layers", "5"]
    command += ["--seed", "4", "--folders", str(tmp_path), "--methods", *LIGHT]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "bandwidth:   0% 0.1 MB, 5 layers, 1 process" in printed
    assert "evolved models" in printed
    rows = pd.read_csv(out / "store.csv")
    assert list(rows.columns) == COLUMNS
    assert len(rows) == len(pd.read_parquet(out / "store.parquet")) == 2 + 4 + 28
    storage = pd.read_csv(out / "storage.csv").iloc[0]
    assert storage.bytes_stored == storage.bytes_trained
    assert "numpy" in json.loads((out / "machine.json").read_text())["packages"]
    assert (out / f"write_whole_{rows.folder_kind[0]}.png").stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (0.0,)}, "sizes=0.0 must be above 0"),
        ({"sizes": (float("nan"),)}, "sizes=nan"),
        ({"layers": ()}, "layers must be one or more values"),
        ({"processes": (1, -4)}, "processes=-4 must be at least 1"),
        ({"seed": -1}, "seed=-1"),
        ({"methods": ("tape",)}, "unknown method 'tape'; choose from memcpy, plain"),
        ({"methods": ()}, "no method"),
        ({"folders": ()}, "folders must be one or more"),
        ({"folders": (Path("/nowhere"),)}, "/nowhere is no folder.* --folders"),
        ({"sizes": (900_000.0,)}, "choose smaller --sizes"),
    ],
)
def test_wrong_settings_are_refused(changes, message, tmp_path):
    with pytest.raises(ParslTLError, match=message):
        run_store_bench(tiny(tmp_path, **changes))


def test_two_folders_of_one_kind_are_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="name one on tmpfs, one on a disk"):
        tiny(tmp_path, folders=(tmp_path, tmp_path)).checked()


def test_a_method_that_is_missing_is_left_out_unless_it_was_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "parsl_tl.benchmarks.formats.redis.redis_missing",
        lambda: "redis-server is not installed: fetch it",
    )
    methods = tiny(tmp_path).checked().methods
    assert methods is not None
    assert "redis" not in methods
    assert "plain" in methods
    with pytest.raises(BenchmarkError, match="'redis': redis-server is not installed: fetch it"):
        tiny(tmp_path, methods=("redis", "plain")).checked()


def test_a_worker_that_dies_ends_the_benchmark(tmp_path):
    def kill_one(share, text):
        if share > 0:
            workers()[0].kill()

    with pytest.raises(BenchmarkError, match="move_models: the process was killed by SIGKILL"):
        run_store_bench(tiny(tmp_path, processes=(1, 2), methods=LIGHT), kill_one)
    assert nothing_left(tmp_path)


def test_an_error_in_one_of_two_workers_is_told(tmp_path):
    case = Case(tmp_path, 0.1, 5, 2, LIGHT, 0)
    (tmp_path / "plain-1").mkdir()  # where the second one wants to write
    with (
        task_runner(Where(), 2) as runner,
        pytest.raises(BenchmarkError, match=r"move_models: FileExistsError: .*plain-1"),
    ):
        runner.team(2, move_models, case, 1, 1, 0.1)
    assert processes_left() == []


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    def interrupt(share, text):
        if share > 0:
            raise KeyboardInterrupt

    methods = tuple(set(METHODS) - {"hdf5"} - set(missing_methods("store")))
    with pytest.raises(KeyboardInterrupt):
        run_store_bench(tiny(tmp_path, methods=methods), interrupt)
    assert nothing_left(tmp_path)


def test_a_search_stores_what_it_trained(tmp_path):
    row = measure_storage(tmp_path, 200, seed=1)
    assert row["bytes_trained"] == row["bytes_stored"] == row["bytes_live"]
    assert row["tensor_overhead_percent"] == 0.0
    assert row["bytes_trained"] < 0.8 * row["full_copies_bytes"]
    rest = row["bytes_headers"] + row["bytes_padding"] + row["bytes_directories"]
    assert row["bytes_in_segment_files"] == row["bytes_trained"] + rest
    assert rest < 0.05 * row["bytes_trained"]
    with open_store(f"embedded:{tmp_path}") as store:
        models = store.models()
        assert sum(models["bytes_total"].to_pylist()) == row["full_copies_bytes"]
        assert sum(models["bytes_owned"].to_pylist()) == row["bytes_trained"]
        assert store.stats()["bytes_segments"] == row["bytes_in_segment_files"]
        # Every child can be read whole, from the segments of several owners.
        last = models["model_id"].to_pylist()[-1]
        assert len(set(store.composition(last).values())) > 1
        assert sum(a.nbytes for own in store.read(last).values() for a in own) > 0
