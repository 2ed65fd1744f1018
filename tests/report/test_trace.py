"""A search that is traced: its record is whole, and its timeline says what happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import node_pools
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
from store_servers import running, uri_of

from parsl_tl import Campaign, open_store
from parsl_tl.cli import main
from parsl_tl.errors import AnalysisError
from parsl_tl.events.clocks import correct_clocks
from parsl_tl.events.record import Record, read_record
from parsl_tl.report.journal_spans import add_journal
from parsl_tl.report.trace import arrows_of, bytes_stored, write_trace
from parsl_tl.report.trace_lanes import lanes_of
from parsl_tl.search.progress import SearchProgress

pytestmark = pytest.mark.slow

CANDIDATES, WORKERS, SERVERS = 20, 2, 2
STAGES = ["propose", "submit", "queue", "task", "report"]


class Traced:
    """A search of 20 candidates on 2 workers and 2 store servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers_folder = folder / "server-events"
        with running(folder, "flight", SERVERS, "--trace", self.servers_folder) as servers:
            self.campaign = Campaign(
                "digits",
                "dense-skip",
                out=folder / "run",
                store=uri_of(servers),
                max_workers=WORKERS,
                trace=True,
                population_size=5,
                sample_size=3,
                keep_best=2,
                space_args={"num_layers": 2},
                training={"epochs": 1},
            )
            self.results = self.campaign.search(CANDIDATES)
            with open_store(uri_of(servers), read_only=True) as store:
                self.bytes_live = store.stats()["bytes_live"]
        self.folders = [folder / "run" / "events", self.servers_folder]
        self.record = read_record(self.folders)
        self.inner: dict[str | None, list] = {}
        for span in sorted(self.record.spans.values(), key=lambda one: one.start):
            self.inner.setdefault(span.parent, []).append(span)

    def named(self, name):
        return [span for span in self.record.spans.values() if span.name == name]


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return Traced(tmp_path_factory.mktemp("traced"))


def check_within(record):
    for span in record.spans.values():
        parent = record.parent_of(span)
        if parent is not None:
            assert parent.start <= span.start, (parent.name, span.name)
            assert span.end <= parent.end, (parent.name, span.name)


def test_the_record_is_whole(traced):
    record = traced.record
    assert record.torn == 0
    assert record.files == 1 + WORKERS + SERVERS
    check_within(record)  # one machine has one clock
    count = Counter((span.process.role, span.name) for span in record.spans.values())
    for name in ("evaluation", *STAGES):
        assert count["driver", name] == CANDIDATES
    for name in ("run", "evaluate", "train", "store"):
        assert count["worker", name] == CANDIDATES, name
    assert count["worker", "store.find_donor"] >= traced.results.donor.count()
    assert count["worker", "validate"] == count["worker", "epoch"] == traced.results.epochs.sum()
    roots = Counter(span.name for span in record.spans.values() if span.parent is None)
    assert roots["evaluation"] == CANDIDATES
    assert set(roots) <= {"evaluation", "store.retire", "block"}


def test_blocks_of_parsl_are_recorded_with_their_states(traced):
    (block,) = traced.named("block")
    assert block.attributes == {"block": "0", "site": "workers"}
    states = [span.name for span in traced.inner[block.key]]
    assert states[-1] == "running"
    first = min(span.start for span in traced.named("run"))
    assert block.end > first


def test_slices_of_an_evaluation_sum_to_its_time(traced):
    for span in traced.named("evaluation"):
        parts = traced.inner[span.key]
        assert [one.name for one in parts] == STAGES
        assert sum(one.end - one.start for one in parts) == span.end - span.start
    # Each begins where the one before ends: no time of a worker's is without a name.
    for span in [*traced.named("run"), *traced.named("evaluate")]:
        parts = traced.inner[span.key]
        assert [span.start, *(one.end for one in parts)] == [
            *(one.start for one in parts),
            span.end,
        ]
    times = {span.attributes["model_id"]: span for span in traced.named("evaluate")}
    for row in traced.results.itertuples():
        span = times[row.model_id]
        assert (span.end - span.start) / 1e9 >= row.seconds_total
        assert span.attributes["objective"] == pytest.approx(row.objective)


def test_without_spans_the_journal_tells_the_same(traced, tmp_path):
    folder = traced.campaign.folder
    shutil.copy(folder / "journal.jsonl", tmp_path)
    shutil.copy(folder / "machine.json", tmp_path)
    assert main(["trace", str(tmp_path)]) == 0
    record = Record()
    add_journal(record, tmp_path)
    inner: dict[str | None, list] = {}
    for span in record.spans.values():
        inner.setdefault(span.parent, []).append(span)
    finer = {span.key.partition(":")[0]: span for span in traced.named("evaluation")}
    wholes = [span for span in inner[None] if span.name == "evaluation"]
    assert {span.key.partition(":")[0] for span in wholes} == finer.keys()
    runs = [span for span in record.spans.values() if span.name == "run"]
    assert len(wholes) == len(runs) == CANDIDATES
    for span in [*wholes, *runs]:
        parts = inner[span.key]
        assert [span.start, *(one.end for one in parts)] == [
            *(one.start for one in parts),
            span.end,
        ]
    for span in wholes:
        other = finer[span.key.partition(":")[0]]
        assert span.start == other.start
        assert span.end <= other.end  # it is written before it is over
        assert [one.name for one in inner[span.key]] == STAGES
    steps = Counter(one.name for span in runs for one in inner[span.key])
    assert {"read", "build", "transfer", "store", "validate"} <= steps.keys()
    assert steps["epoch"] == traced.results.epochs.sum()
    assert {one.process.name for one in runs} == {one.process.name for one in traced.named("run")}
    (block,) = [span for span in inner[None] if span.name == "block"]
    assert block.attributes == {"block": "0", "site": "workers"}
    assert inner[block.key][-1].name == "running"
    # What was recorded as spans is not told again.
    both = read_record(traced.folders)
    add_journal(both, folder)
    assert both.spans.keys() == traced.record.spans.keys()


def test_every_server_s_span_is_part_of_its_client_s(traced):
    servers = [one for one in traced.record.spans.values() if one.process.role == "server"]
    assert {one.process.name for one in servers} == {
        str(traced.folder / f"server{number}") for number in range(SERVERS)
    }
    for span in servers:
        client = traced.record.parent_of(span)
        assert client is not None
        assert client.process.role in ("worker", "driver")
        assert client.name.startswith("store.")
    # A put whose donor was retired meanwhile fails, and the model is stored whole.
    puts = [one for one in servers if one.name == "put" and one.error is None]
    assert len(puts) == CANDIDATES
    stored = {one.key for one in traced.named("store.put") if one.error is None}
    assert {traced.record.parent_of(one).key for one in puts} == stored
    for one in puts:
        client = traced.record.parent_of(one)
        assert one.attributes["bytes"] == client.attributes["bytes"]
    asked = [one for one in servers if one.name == "best_ancestors"]
    assert len(asked) >= SERVERS * traced.results.donor.count()


def test_clocks_of_nodes_are_corrected(traced, tmp_path):
    """The same record, as if both workers, and a server, were on nodes with clocks of their own."""
    offsets = {"worker 0": 3_700_000_000, "worker 1": -41_000_000, "server1": 123_456_789}
    for folder in traced.folders:
        for path in folder.iterdir():
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found = [name for name in offsets if name in json.dumps(lines[0]["resourceSpans"][0])]
            for of_resource in (one["resourceSpans"][0] for one in lines if found):
                shift(of_resource, found[0], offsets[found[0]])
            text = "\n".join(map(json.dumps, lines)) + "\n"
            (tmp_path / path.name).write_text(text)
    record = read_record([tmp_path])
    assert len({span.process.clock for span in record.spans.values()}) == 4
    found, agree = correct_clocks(record)
    assert agree
    check_within(record)
    for name, offset in offsets.items():
        assert abs(found[name].nanoseconds - offset) <= found[name].uncertainty + 1
        assert found[name].uncertainty < 1_000_000_000


def shift(of_resource, name, offset):
    for attribute in of_resource["resource"]["attributes"]:
        if attribute["key"] in ("host.name", "host.id"):
            attribute["value"]["stringValue"] = name
    for span in of_resource["scopeSpans"][0]["spans"]:
        for time in ("startTimeUnixNano", "endTimeUnixNano"):
            span[time] = str(int(span[time]) - offset)


@pytest.fixture(scope="module")
def timeline(traced, tmp_path_factory):
    out = tmp_path_factory.mktemp("timeline") / "run.perfetto-trace"
    run = str(traced.campaign.folder)
    assert main(["trace", run, str(traced.servers_folder), "-o", str(out)]) == 0
    trace = Trace()
    trace.ParseFromString(out.read_bytes())
    return Timeline(trace)


class Timeline:
    """The tracks of a trace, as its reader puts them together."""

    def __init__(self, trace) -> None:
        self.tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet}
        del self.tracks[0]  # of packets that describe none
        self.slices = []  # (track, begin, when it ends)
        self.counters: dict[str, list] = {}
        open_slices: dict[int, list] = {uuid: [] for uuid in self.tracks}
        latest = dict.fromkeys(self.tracks, 0)
        for packet in trace.packet:
            if not packet.HasField("track_event"):
                continue
            event, track = packet.track_event, packet.track_event.track_uuid
            assert packet.timestamp >= latest[track]
            latest[track] = packet.timestamp
            if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                open_slices[track].append((event, packet.timestamp))
            elif event.type == TrackEvent.TYPE_SLICE_END:
                begin, start = open_slices[track].pop()
                self.slices.append((track, begin, start, packet.timestamp))
            else:
                value = event.counter_value or event.double_counter_value
                self.counters.setdefault(self.tracks[track].name, []).append(value)
        assert not any(open_slices.values())

    @staticmethod
    def said(event):
        return {one.name: one.string_value for one in event.debug_annotations}


def test_the_timeline_has_a_process_per_node_and_a_thread_per_worker(traced, timeline):
    nodes = [track for track in timeline.tracks.values() if track.HasField("process")]
    assert len(nodes) == 1
    threads = [track for track in timeline.tracks.values() if track.HasField("thread")]
    assert {track.thread.pid for track in threads} == {nodes[0].process.pid}
    assert len({track.thread.tid for track in threads}) == len(threads)
    names = [track.thread.thread_name for track in threads]
    workers = [name for name in names if name.startswith("worker")]
    assert sorted(workers) == [f"worker block 0 worker {number}" for number in range(WORKERS)]
    # Two evaluations are under way at a time.
    assert sum(name.startswith("driver") for name in names) >= WORKERS
    for number in range(SERVERS):
        assert f"server {traced.folder}/server{number}" in names
    assert len(timeline.slices) == len(traced.record.spans)
    for track, event, start, end in timeline.slices:
        assert end >= start
        (role,) = event.categories
        assert timeline.tracks[track].thread.thread_name.startswith(role)


def test_arrows_join_donors_with_their_children(traced, timeline):
    starts, ends = {}, {}
    for _, event, start, _ in timeline.slices:
        for flow in event.flow_ids:
            assert event.name == "store.put"
            assert flow not in starts
            starts[flow] = (timeline.said(event)["model_id"], start)
        for flow in event.terminating_flow_ids:
            assert event.name == "transfer"
            ends[flow] = (timeline.said(event)["donor"], start)
    donors = Counter(traced.results.donor.dropna())
    assert donors
    assert starts.keys() == ends.keys()
    assert Counter(donor for donor, _ in ends.values()) == donors
    for flow, (donor, when) in ends.items():
        assert starts[flow][0] == donor
        assert starts[flow][1] < when
    for stored, transfer in arrows_of(traced.record):
        assert stored.attributes["model_id"] == transfer.attributes["donor"]


def test_counters_say_what_was_busy_stored_and_best(traced, timeline):
    busy, best = timeline.counters["busy workers"], timeline.counters["best objective"]
    assert (max(busy), busy[-1]) == (WORKERS, 0)
    assert best == sorted(best)
    assert best[-1] == pytest.approx(traced.results.objective.max())
    assert timeline.counters["stored"][-1] == traced.bytes_live
    assert [value for _, value in bytes_stored(traced.record)][-1] == traced.bytes_live


def test_lines_that_are_cut_off_are_told(traced, tmp_path, capsys):
    shutil.copytree(traced.campaign.folder / "events", tmp_path / "events")
    (path,) = (tmp_path / "events").glob("driver-*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    assert main(["trace", str(tmp_path)]) == 0
    assert "1 line cut off" in capsys.readouterr().out
    assert (tmp_path / "run.perfetto-trace").stat().st_size > 0


@pytest.mark.full
def test_a_search_whose_worker_is_killed_leaves_a_record_that_can_be_read(tmp_path):
    class Kills(SearchProgress):
        """Kills a worker in the evaluation that it begins after the third one ended."""

        def finished(self, objective, metadata, **more):
            super().finished(objective, metadata, **more)
            if self.done == 3:
                self.pid = int(metadata["worker"].rpartition(":")[2])
                threading.Timer(1.0, os.kill, (self.pid, signal.SIGKILL)).start()

    campaign = Campaign(
        "digits",
        "dense-skip",
        out=tmp_path / "run",
        max_workers=1,
        trace=True,
        population_size=3,
        sample_size=2,
        training={"epochs": 100},
    )
    progress = Kills(6)
    results = campaign.search(6, progress=progress)
    assert results.objective.notna().all()
    events = tmp_path / "run" / "events"
    write_trace([events], tmp_path / "run.perfetto-trace")
    record = read_record([events])
    assert record.torn <= 1
    lost = [span for span in record.spans.values() if span.name == "task" and span.error]
    assert len(lost) == 1
    evaluated = [span for span in record.spans.values() if span.name == "evaluate"]
    assert len(evaluated) == 6
    # The worker in its place has its lane.
    assert len({span.process.pid for span in evaluated}) == 2
    assert len([lane for lane in lanes_of(record) if lane.doer.role == "worker"]) == 1


def test_servers_on_the_search_s_own_nodes_record_their_part(tmp_path):
    campaign = Campaign(
        "digits",
        "dense-skip",
        node_pools.config(str(tmp_path / "parsl"), started=2),
        store="cluster:2",
        out=tmp_path / "run",
        trace=True,
        population_size=2,
        sample_size=1,
        space_args={"num_layers": 1},
        training={"epochs": 1},
    )
    campaign.search(4)
    record = read_record([tmp_path / "run" / "events"])
    servers = [one for one in record.spans.values() if one.process.role == "server"]
    assert len({one.process.name for one in servers}) == 2
    puts = [one for one in servers if one.name == "put" and one.error is None]
    assert len(puts) == 4
    assert {record.parent_of(one).name for one in puts} == {"store.put"}


def test_a_run_without_a_record_says_how_to_get_one(tmp_path):
    with pytest.raises(AnalysisError, match="--trace"):
        write_trace([tmp_path / "events"], tmp_path / "run.perfetto-trace")
    (tmp_path / "events").mkdir()
    with pytest.raises(AnalysisError, match="must end in"):
        write_trace([tmp_path / "events"], tmp_path / "run.json")
