"""``apps/bench_writes.py`` and the functions behind it."""

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
from app_runs import refusal, run_app
from services import needs_redis

from parsl_tl.benchmarks.core.networks import Networks
from parsl_tl.benchmarks.core.servers import RedisServer
from parsl_tl.benchmarks.core.task_runner import Where
from parsl_tl.benchmarks.formats import FILE_FORMATS
from parsl_tl.benchmarks.formats.transfer import (
    TransferPlace,
    method_arguments,
    transfer_formats,
)
from parsl_tl.benchmarks.suites.writes import SETUP, SYNCED, WriteSuite
from parsl_tl.errors import BenchmarkError

SHM = Path("/dev/shm")
TINY = Networks(("dense:0.2x4",))


def settings(folder, *formats, **changes):
    base = WriteSuite(
        networks=TINY,
        formats=formats,
        synced=True,
        num_changes=(0,),
        folder=folder,
        memory_folder=SHM,
        where=Where(timeout=300.0),
    )
    return replace(base, **changes).checked()


def test_every_transfer_method_of_the_registry_is_a_format(tmp_path):
    names = transfer_formats()
    assert {"transfer:none", "transfer:store", "transfer:hdf5", "transfer:redis"} <= set(names)
    place = TransferPlace(tmp_path, None, "unix:///x")
    assert method_arguments("none", place) == {}
    assert method_arguments("store", place) == {"uri": f"embedded:{tmp_path}"}
    assert method_arguments("redis", place) == {"url": "unix:///x"}
    assert method_arguments("safetensors", place) == {"folder": str(tmp_path)}
    with pytest.raises(BenchmarkError, match="no Redis server"):
        method_arguments("redis", TransferPlace(tmp_path))


def test_wrong_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def told(*options):
        return refusal("bench_writes.py", *options, monkeypatch=monkeypatch, capsys=capsys)

    assert "num_procs=0" in told("--num-procs", "0")
    assert "num_changes=-1" in told("--num-changes", "-1")
    assert "repeats=0" in told("--repeats", "0")
    assert "unknown format 'zip'; choose from weights.h5" in told("--formats", "zip")
    assert "unknown model 'x'" in told("--model", "x")
    assert "timeout=-1.0" in told("--timeout", "-1")
    assert "name another one with --folder" in told("--folder", "/nowhere")
    assert "is no folder" in told("--memory-folder", "/nowhere")
    assert "which is not in memory" in told("--memory-folder", "/proc")
    assert "fewer --num-procs" in told("--model", "dense:900000")
    assert "unknown configuration 'nix'" in told("--config", "nix")
    (tmp_path / "file").touch()
    small = ("--model", "dense:0.1x2")
    assert "--out file/x" in told(*small, "--out", "file/x")


@pytest.mark.slow
@needs_redis
def test_every_format_in_every_way(tmp_path):
    options = ["--model", "dense:0.2x4", "--num-changes", "0", "3", "--folder", str(tmp_path)]
    ended = run_app("bench_writes.py", *options, "--memory", "--synced", "--out", "o", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    out = tmp_path / "o"
    rows = pd.read_csv(out / "writes.csv")
    assert list(rows.columns[:8]) == [
        *("time_sec", "num_procs", "format", "num_changes", "successful", "result"),
        *("bytes", "bandwidth_mb_per_sec"),
    ]
    pd.testing.assert_frame_equal(rows, pd.read_parquet(out / "writes.parquet"), check_dtype=False)
    assert len(rows) == 2 * 2 * (len(FILE_FORMATS) + len(transfer_formats()))
    assert rows.successful.all()
    assert set(rows.format) == {*FILE_FORMATS, *transfer_formats()}
    size = rows.model_bytes.iloc[0]
    at_least = rows[~rows.format.isin(["transfer:none", "transfer:store"])]
    assert (at_least.bytes >= 2 * size).all()
    # A store keeps what changed, and nothing keeps nothing.
    store = rows[rows.format == "transfer:store"].groupby("num_changes").bytes.unique()
    assert store[0].tolist() == [2 * size]
    assert store[3].tolist() == [2 * size // 4]
    nothing = rows[rows.format == "transfer:none"]
    assert (nothing.bytes == 0).all()
    assert nothing.bandwidth_mb_per_sec.isna().all()
    wrote = rows[rows.bytes > 0]
    assert (wrote.bytes / wrote.time_sec / 1e6).to_numpy() == pytest.approx(
        wrote.bandwidth_mb_per_sec.to_numpy()
    )
    tasks = pd.read_csv(out / "write_tasks.csv")
    assert len(tasks) == 2 * len(rows)
    assert tasks.groupby(["measurement", "format", "num_changes"]).bytes.sum().sum() == (
        rows.bytes.sum()
    )
    for name in ("writes-synced.png", "writes-memory.png", "machine.json"):
        assert (out / name).stat().st_size > 300
    # Nothing temporary stays.
    assert [path.name for path in tmp_path.iterdir()] == ["o"]
    assert not list(SHM.glob("parsl-tl-writes-*"))


@pytest.mark.slow
def test_with_set_up_every_process_is_a_new_one(tmp_path):
    seen = []
    others = {process.pid for process in psutil.Process().children()}

    def look(share, text):
        seen.append({process.pid for process in psutil.Process().children()} - others)

    suite = settings(tmp_path, "safetensors", with_setup=True, num_changes=(0, 1))
    found = suite.measure(look)["writes"]
    assert [row["measurement"] for row in found] == [SETUP, SETUP, SYNCED, SYNCED]
    assert all(row["successful"] for row in found)
    # Before each case: those who wrote without set-up are those who were there.
    _, second, third, fourth, _ = seen[1:]
    assert not second & third
    assert third == fourth
    assert len(fourth) == 2
    assert {process.pid for process in psutil.Process().children()} <= others


@pytest.mark.slow
def test_a_process_that_is_killed_is_not_waited_for(tmp_path):
    def kill_one(share, text):
        if "keras" in text:
            children = psutil.Process().children()
            alive = [p for p in children if p.status() != psutil.STATUS_ZOMBIE]
            tasks = [p for p in alive if "task_process" in " ".join(p.cmdline())]
            os.kill(tasks[0].pid, signal.SIGKILL)

    found = settings(tmp_path, "weights.h5", "keras", "safetensors").measure(kill_one)
    assert [row["successful"] for row in found["writes"]] == [True, False, True]
    failed = found["writes"][1]
    assert "1 of 2 failed" in failed["result"]
    assert "killed by SIGKILL" in failed["result"]
    tasks = [row for row in found["write_tasks"] if row["format"] == "keras"]
    assert sorted(row["successful"] for row in tasks) == [False, True]
    # What the other one wrote counts, and nothing else.
    assert failed["bytes"] == sum(row["bytes"] for row in tasks) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_redis
def test_a_redis_server_keeps_nothing_and_may_die_in_the_middle(tmp_path):
    kept = []
    with RedisServer() as server, server.connect() as client:

        def end_server(share, text):
            if "transfer:redis, changes 1" in text:
                kept.append(client.dbsize())
                os.kill(server.pid, signal.SIGKILL)
                server._process.wait()

        formats = ("transfer:redis", "safetensors")
        suite = settings(tmp_path, *formats, num_changes=(2, 1, 0), redis_url=server.url)
        found = suite.measure(end_server)["writes"]
    assert kept == [0]
    outcomes = [(row["format"], row["successful"]) for row in found]
    assert outcomes == [
        ("safetensors", True),
        ("transfer:redis", True),
        ("safetensors", True),
        ("transfer:redis", False),
        ("safetensors", True),
        ("transfer:redis", False),
    ]
    assert "StoreUnreachableError" in found[3]["result"]
    assert found[3]["bytes"] == 0
    assert found[3]["bandwidth_mb_per_sec"] is found[3]["time_sec"] is None


def limit_files():
    # As a full folder: no file may grow beyond this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.slow
def test_what_fails_becomes_a_row_and_the_run_goes_on(tmp_path):
    (tmp_path / "cut.keras").write_bytes(b"PK")
    ended = run_app(
        "bench_writes.py",
        *("--model", "gone.keras", "cut.keras", "dense:0.4x2", "--num-changes", "0"),
        *("--formats", *FILE_FORMATS, "transfer:store", "transfer:none"),
        *("--synced", "--folder", str(tmp_path), "--out", "o"),
        cwd=tmp_path,
        preexec_fn=limit_files,
    )
    assert ended.returncode == 1, ended.stderr
    rows = pd.read_csv(tmp_path / "o" / "writes.csv")
    assert len(rows) == 3 * (len(FILE_FORMATS) + 2)
    for model, reason in (("gone.keras", "is missing"), ("cut.keras", "no whole .keras file")):
        own = rows[rows.model == model]
        assert not own.successful.any()
        assert own.result.str.contains(reason, regex=False).all()
    own = rows[rows.model == "dense:0.4x2"].set_index("format")
    assert own.successful.to_dict() == {
        **dict.fromkeys([*FILE_FORMATS, "transfer:store"], False),
        "transfer:none": True,
    }
    assert own.result[[*FILE_FORMATS, "transfer:store"]].str.contains("File too large").all()
    assert rows.bytes.sum() == 0


@pytest.mark.slow
def test_on_parsl_workers(tmp_path):
    out = tmp_path / "o"
    where = Where("local", workers=2, timeout=300.0, run_dir=tmp_path / "parsl")
    formats = ("keras", "transfer:store")
    found = settings(tmp_path, *formats, num_changes=(2,), memory=True, where=where).measure()
    assert [row["result"] for row in found["writes"]] == ["ok"] * 4
    assert len(found["write_tasks"]) == 8
    assert {row["host"] for row in found["write_tasks"]} != {None}
    ended = run_app(
        "bench_writes.py",
        *("--config", "local", "--workers", "1", "--num-procs", "2", "--out", str(out)),
        *("--model", "dense:0.1x2"),
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "has 1 workers, but 2 tasks must run at once" in ended.stderr
