"""What a worker says it is at, while it is at it."""

import json

import pytest

from parsl_tl.training import run_base_trainer
from parsl_tl.training import worker_note as module
from parsl_tl.training.worker_note import WorkerNote, read_notes

ABOUT = {"job": 3, "worker": "node1:42", "slot": "0/pool/1", "started_ns": 7}


def test_the_latest_step_is_told(tmp_path, monkeypatch):
    (tmp_path / "workers").mkdir()
    note = WorkerNote(tmp_path / "workers", ABOUT)
    assert read_notes(tmp_path) == []
    note.tell("build")
    note.tell("transfer")  # at once: nobody could have seen it
    assert [one["step"] for one in read_notes(tmp_path)] == ["build"]
    note.tell("train")
    (told,) = read_notes(tmp_path)
    assert {key: told[key] for key in ABOUT} == ABOUT
    assert told["step"] == "train"
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_NOTES", 0.0)
    note.tell("store")
    assert [one["step"] for one in read_notes(tmp_path)] == ["store"]
    # Another process of the same slot has its own.
    WorkerNote(tmp_path / "workers", {**ABOUT, "worker": "node1:43"}).tell("start")
    assert len(read_notes(tmp_path)) == 2
    (tmp_path / "workers" / "node1-43.json").write_text("{")
    assert len(read_notes(tmp_path)) == 1


@pytest.mark.parametrize("there", [True, False])
def test_an_evaluation_leaves_notes_where_it_may(tmp_path, there):
    folder = tmp_path / "workers"
    if there:
        folder.mkdir()
    job = {
        **{"problem": "digits", "space": "feed-forward", "space_args": {"num_layers": 2}},
        **{"arch_seq": [1, 1], "epochs": 1, "job": 5, "notes_folder": str(folder)},
    }
    output = run_base_trainer(job)
    assert output["objective"] > 0
    assert json.loads(json.dumps(output)) == output
    assert "note" not in output["metadata"]
    assert folder.exists() == there
    if there:
        (told,) = read_notes(tmp_path)
        assert told["job"] == 5
        assert told["worker"] == output["metadata"]["worker"]
        assert told["started_ns"] == output["metadata"]["started_ns"]
