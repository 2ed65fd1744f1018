"""A study from its first search to its page, on real workers; killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from parsl_tl.study import Study
from parsl_tl.study.measures import COMPARED
from parsl_tl.study.report import sentences, short_tables

OPTIONS = [
    *("--problem", "digits", "--problem-arg", "test=0.2"),
    *("--space", "feed-forward", "--space-arg", "num_layers=2", "--train", "epochs=1"),
    *("--policies", "thaw:1", "--seeds", "0", "--max-evals", "4"),
    *("--retrain-epochs", "1", "--children", "1"),
]
TRAINED = ("scratch_test", "inherited_test")
PEERS = ["--peers", "deephyper-evolution"]


@pytest.mark.slow
def test_a_study_that_was_killed_is_carried_on_and_added_to(tmp_path):
    folder = tmp_path / "study"
    command = [sys.executable, "-m", "parsl_tl.cli", "study", *OPTIONS, "--out", str(folder)]
    log = folder / "study.jsonl"
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not (log.exists() and log.stat().st_size):
            assert killed.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    first = json.loads(log.read_text().splitlines()[0])
    with log.open("a") as file:
        file.write('{"case": "dig')  # as a full disk, or a crash of the machine, leaves it

    done = subprocess.run([*command[:4], "--out", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Study(folder).results["policy"].tolist() == ["scratch", "thaw:1"]
    done = subprocess.run([*command, *PEERS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    study = Study(folder)
    results = study.results
    assert results["policy"].tolist() == ["scratch", "thaw:1", "deephyper-evolution"]
    assert results.iloc[0]["winner"] == first["winner"]
    assert results["evaluations"].between(4, 16).all()
    scratch = results.iloc[0]
    assert scratch["cpu_seconds"] > 0
    assert 0 < scratch["seconds_ratio"] <= 1
    tests = results[["found_test", "inherited_test", "scratch_test"]].to_numpy(float)
    # A peer's search keeps no models: its winner is trained from scratch only.
    assert np.isnan(tests[2]).tolist() == [True, True, False]
    known = tests[~np.isnan(tests)]
    assert np.logical_and(known > 0, known <= 1).all()
    assert set(study.beside_peers["value"]) == {"equal_cpu", "scratch_test", "inherited_test"}
    assert set(study.beside_peers["peer"]) == {"deephyper-evolution"}
    assert study.comparison["seeds"].eq(1).all()
    assert len(study.children) == 1
    assert study.children["share"].between(0, 1, inclusive="right").all()
    ends = study.curves.groupby("policy")["cpu_seconds"].max()
    assert ends["scratch"] == pytest.approx(scratch["cpu_seconds"])
    for line in sentences(study):
        assert line in done.stdout
    beside_scratch, beside_peers = (table for _, table in short_tables(study)[:2])
    assert beside_scratch["policy"].tolist() == ["thaw:1", "deephyper-evolution"]
    assert beside_peers["peer"].tolist() == ["deephyper-evolution"] * 2
    assert list(beside_peers)[2:] == [COMPARED[name] for name in ("equal_cpu", *TRAINED)]
    page = (folder / "study.html").read_text()
    assert "scratch" in page
    assert "data:image/png" in page
    tables = [pd.read_csv(folder / "study.csv"), pd.read_parquet(folder / "study.parquet")]
    assert [table["winner"].tolist() for table in tables] == [results["winner"].tolist()] * 2
