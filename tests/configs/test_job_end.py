import os
import subprocess
import time

import pytest
import stand_in_scheduler

from parsl_tl.cli import main
from parsl_tl.errors import ConfigError
from parsl_tl.sites.job_end import seconds_left

SCRIPT = "#PBS -l walltime=01:30:00\n#PBS -l select=1:ncpus=1\nsleep 1000\n"


@pytest.fixture(autouse=True)
def _in_no_job(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "PBS_", "LSB_", "FLUX_")):
            monkeypatch.delenv(name)


def command(folder, name, answer):
    file = folder / name
    file.write_text(f"#!/bin/sh\n{answer}\n")
    file.chmod(0o755)


def test_slurm_says_it_in_the_environment(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 1000))
    assert 900 < seconds_left() <= 1000


@pytest.mark.parametrize(
    ("variable", "name", "answer", "seconds"),
    [
        ("SLURM_JOB_ID", "squeue", "echo 1-02:03:04", 93784),
        ("SLURM_JOB_ID", "squeue", "echo 9:59", 599),
        ("LSB_JOBID", "bjobs", "echo 2:30 L", 9000),
        ("FLUX_JOB_ID", "flux", "echo 77", 77),
    ],
)
def test_a_scheduler_is_asked(monkeypatch, tmp_path, variable, name, answer, seconds):
    command(tmp_path, name, answer)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv(variable, "12")
    assert seconds_left() == seconds


def test_pbs_is_asked(monkeypatch, tmp_path):
    commands = stand_in_scheduler.install(tmp_path / "bin", stand_in_scheduler.PBS)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    (tmp_path / "job.sh").write_text(SCRIPT)
    asked = subprocess.run(["qsub", tmp_path / "job.sh"], capture_output=True, text=True)
    monkeypatch.setenv("PBS_JOBID", asked.stdout.strip())
    try:
        while stand_in_scheduler.jobs(commands)[0]["state"] == "PENDING":
            time.sleep(0.1)
        assert 4000 < seconds_left() <= 5400
    finally:
        subprocess.run(["qdel", asked.stdout.strip()], check=True)


def test_what_is_not_known_is_told(monkeypatch, tmp_path, capsys):
    with pytest.raises(ConfigError, match="in none of Slurm"):
        seconds_left()
    command(tmp_path, "squeue", "echo INVALID")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(ConfigError, match="INVALID"):
        seconds_left()
    command(tmp_path, "squeue", "echo no such job >&2; exit 1")
    with pytest.raises(ConfigError, match="no such job"):
        seconds_left()
    assert main(["search", "--out", str(tmp_path / "run"), "--max-seconds", "auto"]) == 2
    assert "no such job" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
