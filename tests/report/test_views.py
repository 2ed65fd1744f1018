"""Views of a run as data, beside what its journal says evaluation by evaluation."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from long_run import START_NS

from parsl_tl.cli.status import status_tables
from parsl_tl.errors import CampaignError
from parsl_tl.report import incidents, views
from parsl_tl.report.lineage import lineage
from parsl_tl.report.page import report_page
from parsl_tl.report.run import RunReader, read_run
from parsl_tl.report.search_clock import SearchClock
from parsl_tl.search.journal import read_whole_lines
from parsl_tl.training.report import STEPS


@pytest.fixture(scope="module")
def finished(folder):
    events, _ = read_whole_lines(folder / "journal.jsonl")
    return [event for event in events if event["event"] == "finished"]


def test_the_best_so_far_is_the_running_maximum(run, finished):
    grown = views.progress(run)
    best = float("-inf")
    for row, event in zip(grown.itertuples(), finished, strict=True):
        if isinstance(event["objective"], float):
            best = max(best, event["objective"])
        assert row.best == best
        ended = event["metadata"]["ended_ns"]
        first = START_NS + 9_000_000_000  # when the first worker was there
        assert row.seconds == pytest.approx((ended - first) / 1e9, abs=1e-3)
    assert grown["cpu_seconds"].iloc[-1] == pytest.approx(
        sum(event["metadata"]["seconds_cpu"] for event in finished)
    )


def test_targets_are_reached_in_their_order(run):
    found = views.time_to_target([run], [0.5, run.good["objective"].max(), 2.0])
    assert found["evaluations"].tolist()[0] == 1
    best = views.progress(run).dropna()
    first = best[best["objective"] == best["best"].max()].iloc[0]
    assert found["evaluations"][1] == first["evaluation"]
    assert found["seconds"][1] == first["seconds"]
    assert found.iloc[2][["evaluations", "seconds", "cpu_seconds"]].isna().all()
    assert views.targets([run])[-1] == run.good["objective"].max()


def test_what_workers_did_adds_up(run):
    done, workers, busy = views.timeline(run), views.workers(run), views.utilization(run)
    assert workers["evaluations"].sum() == len(run.frame) == 300
    assert workers["failed"].sum() == run.frame["objective"].isna().sum() > 0
    assert len(workers) == 6
    for _, of_lane in done.groupby("lane"):  # a worker does one thing at a time
        ordered = of_lane.sort_values("started")
        assert (ordered["started"].to_numpy()[1:] >= ordered["ended"].to_numpy()[:-1]).all()
    window = busy["seconds"].iloc[1] - busy["seconds"].iloc[0]
    spent = (done["ended"] - done["started"]).sum()
    assert (busy["busy"] * window).sum() == pytest.approx(spent)
    assert busy["share"].between(0, 1 + 1e-9).all()
    # Its steps and what is between them are the whole of an evaluation.
    steps = views.steps(run)
    means = steps[[*STEPS, "other"]].sum(axis=1)
    weights = np.bincount(np.arange(len(run.good)) * len(steps) // len(run.good))
    total = (means * weights).sum()
    assert total == pytest.approx(run.good["seconds_total"].sum(), rel=1e-6)


def test_transfers_and_storage(run):
    stored = views.storage(run).iloc[-1]
    assert stored["stored"] == run.good["bytes_stored"].sum()
    assert stored["full_copies"] == run.good["bytes_total"].sum()
    assert views.prefixes(run)["models"].sum() == run.good["parent"].notna().sum()
    shares = views.shares(run)
    assert (shares["share"] == 0).sum() == views.prefixes(run)["models"][0]
    assert views.donors(run)["share"].between(0, 1).all()


def test_choices_are_counted_in_windows(run):
    found = views.choices(run)
    totals = found.groupby(["choice", "end"])["share"].sum()
    assert np.allclose(totals, 1)
    first_end = found["end"].min()
    first = run.frame.head(first_end)
    shown = found[(found["choice"] == "layer_0") & (found["end"] == first_end)]
    labels = run.space.choices()[0].values
    chosen = pd.Series([str(labels[seq[0]]) for seq in first["arch_seq"]])
    expected = chosen.value_counts(normalize=True)
    assert dict(zip(shown["value"], shown["share"], strict=True)) == pytest.approx(dict(expected))


def test_failures_are_grouped_by_what_is_alike(run, finished):
    failed = views.failures(run)
    assert len(failed) == sum(isinstance(event["objective"], str) for event in finished)
    counts = failed["reason"].value_counts()
    assert failed["reason"].iloc[0] == counts.index[0]
    memory = failed[failed["reason"] == "OutOfMemory"]
    assert memory["message"].nunique() > 1  # they differ in a number
    assert memory["alike"].unique().tolist() == [
        "ResourceExhaustedError: failed to allocate memory for … MB"
    ]
    job = int(memory["job"].iloc[0])
    assert memory["message"].iloc[0] in views.told_of(run, [job])[job]


def test_what_was_noted_of_an_evaluation_is_found():
    lost = {"event": "lost", "job": 1, "site": "gpus", "error": "WorkerLost", "text": "worker 3"}
    run = SimpleNamespace(notes=[lost], tracebacks={1: "File\n"})
    assert views.told_of(run, [1, 2]) == {
        1: "lost on gpus: WorkerLost: worker 3\nFile",
        2: "Nothing more was noted of it.",
    }


def test_ancestors_of_the_best(run):
    found = lineage(run)
    names = {one.model_id: one for one in found.ancestors}
    assert sorted(one.rank for one in found.ancestors if one.rank) == [1, 2, 3, 4, 5]
    rows = run.good.set_index("model_id")
    for gift in found.gifts:
        giver, receiver = names[gift.giver], names[gift.receiver]
        assert giver.generation < receiver.generation
        own = rows.loc[gift.receiver]
        assert gift.giver == own["donor" if gift.is_donor else "parent"]
        if gift.is_donor:
            assert gift.layers == own["layers_transferred"]
    assert names[run.good.loc[run.good["objective"].idxmax(), "model_id"]].row == 0
    few = lineage(run, most=6)
    assert len(few.ancestors) == 6
    assert few.left_out == len(found.ancestors) - 6


def test_a_journal_is_read_as_it_grows(folder, run, tmp_path):
    data = (folder / "journal.jsonl").read_bytes()
    shutil.copy(folder / "config.json", tmp_path)
    reader = RunReader(tmp_path)
    assert not reader.read()
    assert reader.run().frame.empty
    path = tmp_path / "journal.jsonl"
    for end in (0, 1, len(data) // 3, len(data) // 2 + 7, len(data) - 1, len(data)):
        path.write_bytes(data[:end])
        reader.read()
        reader.run()
    assert not reader.read()
    pd.testing.assert_frame_equal(reader.run().frame, run.frame)
    assert reader.run().running["job"].tolist() == run.running["job"].tolist() != []


def test_a_run_of_an_earlier_release(folder, tmp_path):
    """Which noted no times, slots and versions; DeepHyper's own times stand in for them."""
    shutil.copy(folder / "config.json", tmp_path)
    events, _ = read_whole_lines(folder / "journal.jsonl")
    for seconds in (True, False):
        lines = []
        for number, event in enumerate(events):
            old = {name: value for name, value in event.items() if name != "time_ns"}
            if event["event"] == "finished":
                new = ("started_ns", "ended_ns", "slot", "traceback")
                kept = {k: v for k, v in event["metadata"].items() if k not in new}
                times = {"timestamp_submit": number - 3.0, "timestamp_gather": float(number)}
                old["metadata"] = {**kept, **(times if seconds else {})}
            lines.append(json.dumps(old))
        (tmp_path / "journal.jsonl").write_text("\n".join(lines) + "\n")
        run = read_run(tmp_path)
        assert len(run.frame) == 300
        assert views.progress(run)["seconds"].notna().all() == seconds
        assert len(views.timeline(run)) == (300 if seconds else 0)
        assert run.frame["lane"].nunique() == 6
        assert views.steps(run)["train"].gt(0).all()


def test_a_damaged_line_is_told(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)[:5]
    (tmp_path / "journal.jsonl").write_text("".join([*lines, '{"event": "finished"}\n']))
    with pytest.raises(CampaignError, match="line 6, is damaged"):
        read_run(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 100)), min_size=1, max_size=30))
def test_pauses_of_a_search_count_nothing(spans):
    starts = np.array([start for start, _ in spans], float) * 1e9
    ends = starts + np.array([length for _, length in spans], float) * 1e9
    clock = SearchClock(starts, ends)
    times = np.sort(np.concatenate([starts, ends]))
    seconds = clock.seconds(times)
    steps, walls = np.diff(seconds), np.diff(times) / 1e9
    assert seconds[0] == 0
    assert (steps >= -1e-6).all()
    for step, wall, time in zip(steps, walls, times[:-1], strict=True):
        under_way = ((starts <= time) & (ends > time)).any()
        # A step counts wholly if something ran or the gap is short, and not at all if not.
        assert step == pytest.approx(wall if under_way or wall <= 10 else 0.0, abs=1e-5)


def test_what_workers_are_at_now(folder, run, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "workers").mkdir()
    jobs = run.running["job"].tolist()
    asked, _ = read_whole_lines(folder / "journal.jsonl")
    times = {one["config"]["job"]: one["time_ns"] for one in asked if one["event"] == "submitted"}
    notes = [
        {"job": jobs[0], "worker": "node000:4000", "slot": "0/pool000/0", "late": 1},
        {"job": jobs[1], "worker": "node000:4001", "slot": "0/pool000/1", "late": -600},  # before
        {"job": 0, "worker": "node001:4002", "slot": "0/pool001/0", "late": 1},  # it has ended
    ]
    for note in notes:
        told = {**note, "started_ns": times[note["job"]] + note["late"] * 10**9, "step": "train"}
        name = note["worker"].replace(":", "-")
        (tmp_path / "run" / "workers" / f"{name}.json").write_text(json.dumps(told))
    running = read_run(tmp_path / "run").running.set_index("job")
    assert running["step"].dropna().to_dict() == {jobs[0]: "train"}
    first = running.loc[jobs[0]]
    assert first["lane"] in set(run.frame["lane"])
    assert first["started"] == pytest.approx(first["submitted"] + 1, abs=1e-3)


def test_the_status_tells_nodes_and_reasons(run):
    tables = dict(status_tables(run))
    assert tables["nodes"]["evaluations"].sum() == len(views.timeline(run))
    assert tables["nodes"]["workers"].sum() == views.workers(run)["worker"].nunique()
    assert not tables["nodes"].index.str.contains(" block ").any()
    assert tables["failed"]["times"].sum() == run.frame["objective"].isna().sum()
    assert tables["failed"]["message"].str.len().gt(0).all()
    assert len(tables["under way"]) == len(run.running)


def noted(tmp_path, folder):
    """A run whose journal has notes between its evaluations."""
    lost = {"site": "gpus", "error": "WorkerLost"}
    notes = [
        {"event": "block", "site": "gpus", "block": "0", "state": "pending"},
        {"event": "block", "site": "gpus", "block": "0", "state": "running"},
        {"event": "lost", **lost, "job": 1, "text": "worker 3 of node 17"},
        {"event": "retired", "model_id": "ab"},
        {"event": "lost", **lost, "job": 4, "text": "worker 1 of node 18"},
        {"event": "block", "site": "gpus", "block": "0", "state": "timeout"},
        {"event": "block", "site": "gpus", "block": "1", "state": "running"},
        {"event": "warning", "level": "ERROR", "text": "the search ends: no block\n<exit code 7>"},
        {"event": "something of a later release"},
    ]
    lines = (folder / "journal.jsonl").read_text().splitlines()
    for number, note in enumerate(notes):
        lines.insert(3 * number, json.dumps({"time_ns": 10**18 + number, **note}))
    shutil.copytree(folder, tmp_path / "noted")
    (tmp_path / "noted" / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return read_run(tmp_path / "noted")


def test_incidents_are_what_was_noted_beside_evaluations(folder, run, tmp_path):
    here = noted(tmp_path, folder)
    assert (len(here.frame), here.now) == (len(run.frame), run.now)
    table = incidents.incident_table(here)
    assert table[["what", "times"]].to_numpy().tolist() == [
        ["the search ends", 1],
        ["WorkerLost on executor gpus", 2],
    ]
    assert table["message"].tolist()[0] == "the search ends: no block"
    shown = incidents.incident_list(here)
    assert "&lt;exit code 7&gt;" in shown
    assert "2 times: evaluation 4 was lost" in shown
    assert incidents.incident_list(run) == ""


def test_sites_tell_their_losses_and_blocks(folder, run, tmp_path):
    here = noted(tmp_path, folder)
    found = views.sites(here).set_index("site")
    assert found.loc["gpus", ["lost", "blocks", "blocks_ended"]].tolist() == [2, 2, 1]
    own = found.loc[["site0", "site1"]]
    assert own["evaluations"].sum() == len(run.frame)
    assert own["failed"].sum() == run.frame["objective"].isna().sum()
    assert own["wait_seconds"].tolist() == pytest.approx([0.001, 0.001])


def test_a_run_of_an_older_release_opens(folder, run, tmp_path):
    shutil.copytree(folder, tmp_path / "old")
    path = tmp_path / "old" / "journal.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        for name in ("trace", "stages"):
            event.pop(name, None)
        event.get("metadata", {}).pop("steps", None)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    here = read_run(tmp_path / "old")
    assert here.frame["ended"].equals(run.frame["ended"])
    assert views.sites(here).empty
    assert "<h2>Sites</h2>" not in report_page([here])
    assert "<h2>Sites</h2>" in report_page([run])
