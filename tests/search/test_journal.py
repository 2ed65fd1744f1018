import errno
import json
import os
import subprocess
import sys
import time

import pytest
from deephyper.evaluator import HPOJob
from kept_files import kept_by_a_child

from parsl_tl.errors import CampaignError, InfrastructureError
from parsl_tl.search.job_storage import JobStorage
from parsl_tl.search.journal import Journal, read_journal, read_whole_lines
from parsl_tl.search.recorder import Recorder
from parsl_tl.search.results import results_frame, write_results

CONFIG = {"a": 1, "b": 0, "parent": None, "from_scratch": True}


def config(job):
    return {**CONFIG, "job": job, "model_id": 2**63 + job}


def test_what_was_written_comes_back(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for job in range(3):
        journal.submitted(config(job))
    journal.finish(config(1), 0.5, {"epochs": 3})
    journal.finish(config(0), "F_NaNLoss", {"error": "diverged"})
    journal.close()
    again = Journal(path)
    assert [row["config"]["job"] for row in again.finished] == [1, 0]
    assert again.unfinished == [config(2)]
    assert [row["objective"] for row in read_journal(path)] == [0.5, "F_NaNLoss"]
    again.close()


def test_events_have_their_times_and_the_table_has_no_tracebacks(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    before = time.time_ns()
    journal.submitted(config(0))
    row = journal.finish(config(0), "F_Value", {"error": "ValueError: x", "traceback": "File ..."})
    journal.close()
    events, _ = read_whole_lines(path)
    assert before <= events[0]["time_ns"] <= events[1]["time_ns"] == row["time_ns"]
    assert events[1]["metadata"]["traceback"] == "File ..."
    assert "traceback" not in results_frame([row], ["a", "b"])


def test_a_line_that_was_cut_off_is_dropped_wherever_the_cut_is(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.submitted(config(0))
    journal.finish(config(0), 0.5, {})
    journal.close()
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    for cut in range(first, len(data)):
        path.write_bytes(data[:cut])
        again = Journal(path)
        assert again.finished == []
        assert again.unfinished == [config(0)]
        again.finish(config(0), 0.25, {})  # and writing goes on behind whole lines
        again.close()
        assert [row["objective"] for row in read_journal(path)] == [0.25]


def test_a_damaged_line_is_told_with_its_number(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "submitted"\n' + json.dumps({"event": "x"}) + "\n")
    with pytest.raises(CampaignError, match="line 1"):
        Journal(path)


def test_a_child_does_not_keep_the_lock(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    # As a process that is started by another thread just now has all files for a moment.
    with kept_by_a_child(path):
        with pytest.raises(CampaignError, match="another process"):
            Journal(path)
        journal.close()
        Journal(path).close()


def test_a_second_process_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    code = (
        "import pathlib, sys; from parsl_tl.search.journal import Journal;"
        "Journal(pathlib.Path(sys.argv[1]))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert other.returncode != 0
    assert "another process runs the campaign" in other.stderr
    journal.close()


def test_a_file_system_without_locks_keeps_a_journal(tmp_path, monkeypatch, caplog):
    def refuse(file, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    Journal(tmp_path / "journal.jsonl").close()
    assert "has no locks" in caplog.text


def test_the_table_keeps_64_bit_ids_and_tells_failures_apart(tmp_path):
    import pandas as pd

    journal = Journal(tmp_path / "journal.jsonl")
    child = {**config(1), "parent": 2**64 - 1}
    rows = [
        journal.finish(config(0), 0.5, {"donor": None, "epochs": 3}),
        journal.finish(child, "F_NaNLoss", {"donor": 2**63, "error": "diverged"}),
    ]
    journal.close()
    frame = results_frame(rows, ["a", "b"])
    write_results(frame, tmp_path)
    read = pd.read_parquet(tmp_path / "results.parquet")
    assert list(read["model_id"]) == ["8000000000000000", "8000000000000001"]
    assert read["parent"][1] == "f" * 16
    assert read["donor"][1] == "8000000000000000"
    assert read["failure"][1] == "NaNLoss"
    assert read["objective"].isna().tolist() == [False, True]
    assert list(read["arch_seq"][0]) == [1, 0]
    assert len(pd.read_csv(tmp_path / "results.csv")) == 2
    assert not list(tmp_path.glob(".results*"))


def test_a_search_waits_for_the_disk_once_for_what_comes_together(tmp_path, monkeypatch):
    waits = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (waits.append(file), sync(file)))
    journal = Journal(tmp_path / "journal.jsonl")
    for job in range(5):
        journal.submitted(config(job))
    journal.finish(config(0), 0.5, {})
    assert waits == []
    journal.sync()
    journal.sync()
    assert len(waits) == 1
    journal.finish(config(1), 0.5, {})
    journal.close()
    assert len(waits) == 2
    monkeypatch.setattr(os, "fdatasync", _full_disk)
    again = Journal(tmp_path / "journal.jsonl")
    again.finish(config(2), 0.5, {})
    with pytest.raises(InfrastructureError, match=r"cannot be written.*--resume"):
        again.sync()
    monkeypatch.setattr(os, "fdatasync", sync)
    again.close()


def _full_disk(file):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Listeners:
    """Notes what a recorder tells, and how many lines were on disk then."""

    def __init__(self, path):
        self.path, self.on_disk, self.told = path, 0, []

    def sync(self, file):
        self.on_disk = len(self.path.read_bytes().splitlines())

    def finished(self, row, *_, **__):
        if isinstance(row, dict):
            self.told.append((row["config"]["job"], self.on_disk))

    def __getattr__(self, name):
        return lambda *_: None


def test_nothing_is_acted_upon_before_it_is_on_disk(tmp_path, monkeypatch):
    listeners = Listeners(tmp_path / "journal.jsonl")
    monkeypatch.setattr(os, "fdatasync", listeners.sync)
    journal = Journal(tmp_path / "journal.jsonl")
    recorder = Recorder(journal, *[listeners] * 5)
    jobs = [HPOJob(f"0.{job}", config(job), None, JobStorage()) for job in range(3)]
    for job in jobs:
        job.storage.create_new_search()
        for _ in jobs:
            job.storage.create_new_job("0")
        recorder.on_launch(job)
    recorder.on_submit()
    assert listeners.on_disk == 3
    for job in jobs:
        job.set_output({"objective": 0.5})
        recorder.on_done(job)
    assert listeners.told == []
    recorder.on_gather(jobs, [])
    assert listeners.told == [(0, 6), (1, 6), (2, 6)]
    journal.close()
