"""Searches on blocks of Slurm and PBS, whose commands run the scripts here."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import stand_in_scheduler
from parsl.providers import PBSProProvider, SlurmProvider

from parsl_tl import Campaign, load_config

pytestmark = pytest.mark.slow

SUPPORT = Path(stand_in_scheduler.__file__).parent
TABLE = f"{SUPPORT / 'slow_table.py'}:SlowTable"
OPTIONS = {"cores_per_node": 1, "address": "127.0.0.1"}


def scheduler(names):
    @pytest.fixture
    def installed(tmp_path, monkeypatch):
        folder = stand_in_scheduler.install(tmp_path / "scheduler", names)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.chdir(tmp_path)
        for provider in (PBSProProvider, SlurmProvider):
            monkeypatch.setattr(provider, "status_polling_interval", 1)
        yield folder
        stand_in_scheduler.end_all(folder)

    return installed


slurm = scheduler(stand_in_scheduler.SLURM)
pbs = scheduler(stand_in_scheduler.PBS)


def evaluated(folder):
    """Returns the block, the node's number and the GPU of each evaluation."""
    return [line.split() for line in (folder / "evaluated").read_text().splitlines()]


@pytest.mark.parametrize(("name", "nodes"), [("slurm", 2), ("pbs", 1)])
def test_a_block_ends_and_the_search_goes_on_in_the_next(
    name, nodes, request, tmp_path, monkeypatch
):
    commands = request.getfixturevalue(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5f1c")  # as Slurm lists it for a job
    config = load_config(name, gpus_of_node=1, nodes_per_block=nodes, **OPTIONS)
    config.strategy_period = 1
    config.executors[0].heartbeat_period = 1
    config.executors[0].heartbeat_threshold = 15
    campaign = Campaign(
        TABLE,
        "feed-forward",
        config,
        problem_args={"folder": str(tmp_path), "nodes": nodes},
        out=tmp_path / "run",
    )

    def end_the_first_block():
        while not (tmp_path / "evaluated").exists() or len(evaluated(tmp_path)) < 3:
            time.sleep(0.1)
        stand_in_scheduler.expire(commands, 1)

    threading.Thread(target=end_the_first_block, daemon=True).start()
    frame = campaign.search(8)
    assert len(frame) == 8
    assert frame["failure"].isna().all()
    first, *others = stand_in_scheduler.jobs(commands)
    assert first["state"] == "TIMEOUT"
    assert others[-1]["state"] == "CANCELLED"  # when the search had ended
    blocks, _, gpus = zip(*evaluated(tmp_path), strict=True)
    # Jobs of PBS do not take over the driver's environment: there, nothing is listed.
    assert set(gpus) == {"GPU-5f1c" if name == "slurm" else "0"}
    assert {"0", "1"} <= set(blocks)
    assert len(blocks) <= 8 + nodes  # some may have ended as the block did, and were done again


def test_a_search_trains_on_blocks_of_pbs(pbs, tmp_path):
    command = ["search", "--problem", "digits", "--space", "dense-skip", "--max-evals", "2"]
    options = [f"-o{name}={value}" for name, value in OPTIONS.items()]
    run = subprocess.run(
        [
            *(sys.executable, "-m", "parsl_tl.cli", *command, "--epochs", "1", "--seed", "1"),
            *("--config", "pbs", *options, "-o", "queue=short", "--out", "run"),
        ],
        env={**os.environ, "PARSL_TL_CONFIG_ACCOUNT": "my-project"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (job,) = stand_in_scheduler.jobs(pbs)
    assert {"-A my-project", "-q short", "-l walltime=01:00:00"} <= set(job["options"]["lines"])
    assert job["state"] == "CANCELLED"


def test_a_driver_inside_of_a_job_uses_all_of_its_nodes(pbs, tmp_path):
    command = [sys.executable, "-m", "parsl_tl.cli"]
    options = [f"-o{name}={value}" for name, value in OPTIONS.items()]
    local = tmp_path / "disk" / "store"
    script = subprocess.run(
        [
            *(*command, "configs", "script", "pbs", *options, "-o", "nodes_per_block=2"),
            *("--store-data", local, "--"),
            *(*command, "search", "--problem", TABLE, "--problem-arg", f"folder={tmp_path}"),
            *("--problem-arg", "nodes=2", "--max-seconds", "auto"),
            *("--space", "feed-forward", "--max-evals", "4", "--out", "run"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "job.sh").write_text(script)
    subprocess.run(["qsub", "job.sh"], check=True, capture_output=True)
    while (job := stand_in_scheduler.jobs(pbs)[0])["state"] in ("PENDING", "RUNNING"):
        time.sleep(0.5)
    told = (pbs / "1.out").read_text() + (pbs / "1.err").read_text()
    assert job["state"] == "COMPLETED", told
    assert (tmp_path / "run" / "results.csv").is_file()
    assert {rank for _, rank, _ in evaluated(tmp_path)} == {"0", "1"}
    kept = (tmp_path / "run.store" / "FORMAT").read_bytes()
    assert kept == (local / "FORMAT").read_bytes()
