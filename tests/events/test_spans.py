"""Spans of one process: what is recorded, by whom, and what is left of who is killed."""

import json
import signal
import subprocess
import sys
import threading
import time
from contextvars import copy_context

import pytest

from parsl_tl.errors import AnalysisError, InvalidValueError
from parsl_tl.events import annotate, continued, span, stages
from parsl_tl.events.record import read_record
from parsl_tl.events.recorder import Recorder
from parsl_tl.events.spans import recorded_by
from parsl_tl.outcome import pack, run_packed, unpack


def named(record, name):
    (found,) = [one for one in record.spans.values() if one.name == name]
    return found


def test_a_task_goes_on_with_its_driver_s_record(tmp_path):
    with recorded_by(Recorder(tmp_path, "driver")):
        stages.begin(7, "evaluation", "propose", job=7)
        with stages.about(7):
            stages.go_on("queue")
            stages.go_on("task", site="here")
            carried = stages.carried()
        assert unpack(run_packed(pack((sum, ([1, 2],), {})), trace=carried)) == 3
        with stages.about(7):
            stages.go_on("report")
        stages.annotate(7, objective=0.5, failed=None)
        with stages.last(7), span("retire", model_id="ab"):
            annotate(bytes=3)
    record = read_record([tmp_path])
    whole = named(record, "evaluation")
    assert (whole.attributes, whole.parent) == ({"job": 7, "objective": 0.5}, None)
    parts = sorted((one for one in record.spans.values() if one.parent == whole.key), key=start_of)
    assert [one.name for one in parts] == ["propose", "queue", "task", "report"]
    # One begins where the one before ends.
    times = [whole.start, *(one.end for one in parts)]
    assert [one.start for one in parts] == times[:-1]
    assert times[-1] == whole.end
    run = named(record, "run")
    assert record.parent_of(run).name == "task"
    assert (run.process.role, whole.process.role) == ("worker", "driver")
    assert {record.parent_of(named(record, name)).name for name in ("unpack", "pack")} == {"run"}
    retire = named(record, "retire")
    assert record.parent_of(retire).name == "report"
    assert retire.attributes == {"model_id": "ab", "bytes": 3}


def start_of(one):
    return one.start


def test_what_is_lost_or_left_open_says_so(tmp_path):
    with recorded_by(Recorder(tmp_path, "driver")):
        stages.begin(1, "evaluation", "queue")
        with stages.about(1):
            stages.go_on("task")
            stages.go_on("task")  # it is in that already
            stages.go_on("queue", lost="its worker died")
        stages.begin(1, "evaluation", "propose")
        with stages.about("nothing of that name"):
            stages.go_on("task")
            assert stages.carried() is None
        with pytest.raises(ValueError, match="no"), span("fails"):
            raise ValueError("no")
    record = read_record([tmp_path])
    errors = {(one.name, one.error) for one in record.spans.values()}
    anew, unfinished = "it was begun anew", "it had not ended when the record did"
    assert errors == {
        ("queue", None),
        ("task", "its worker died"),
        ("queue", anew),
        ("evaluation", anew),
        ("propose", unfinished),
        ("evaluation", unfinished),
        ("fails", "ValueError: no"),
    }


def test_threads_record_for_who_they_work_for(tmp_path):
    def work():
        with span("beside"):
            pass

    with recorded_by(Recorder(tmp_path, "driver")), span("around"):
        for target in (copy_context().run, lambda function: function()):
            thread = threading.Thread(target=target, args=(work,))
            thread.start()
            thread.join()
    record = read_record([tmp_path])
    assert record.parent_of(named(record, "beside")).name == "around"
    assert len(record.spans) == 2  # the thread that took nothing along recorded nothing


def test_nothing_is_imported_where_nobody_records(tmp_path):
    code = """
import sys
from parsl_tl.events import annotate, flush, is_recording, span, stages
from parsl_tl.outcome import pack, run_packed, unpack
import parsl_tl.training.run
with span("x", a=1) as here:
    annotate(b=2)
    here.annotate(c=3)
    stages.begin(1, "evaluation", "propose")
    with stages.about(1):
        stages.go_on("task")
        assert stages.carried() is None
    with stages.last(1):
        stages.annotate(1, objective=1.0)
    flush()
assert here.context == b"" and not is_recording()
assert unpack(run_packed(pack((sum, ([1, 2],), {})))) == 3
names = ("opentelemetry", "perfetto", "parsl_tl.events.recorder", "parsl_tl.events.span_file")
print([name for name in sys.modules if name.startswith(names)])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


WORKER = """
import sys, time
from parsl_tl.events import continued, span
from parsl_tl.events.spans import Carried
carried = Carried("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", sys.argv[1])
for number in range(3):
    with continued(carried, "run"):
        with span("step", number=number):
            pass
with continued(carried, "run"):
    with span("long"):
        with span("over"):
            time.sleep(1.1)
        with span("next"):
            print("here", flush=True)
            time.sleep(600)
"""


def test_a_worker_that_is_killed_leaves_what_it_did(tmp_path):
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline() == "here\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    record = read_record([tmp_path])
    steps = [one.attributes["number"] for one in record.spans.values() if one.name == "step"]
    assert sorted(steps) == [0, 1, 2]
    # Of the task that it was killed in, all but the last second.
    assert named(record, "over").end - named(record, "over").start >= 1.1e9
    assert record.torn == 0
    assert {one.parent for one in record.spans.values() if one.name == "run"} == {
        f"{'ab' * 16}:{'cd' * 8}"
    }


def test_lines_that_are_cut_off_are_counted_and_cost_no_other(tmp_path):
    with recorded_by(Recorder(tmp_path, "driver")) as _:
        for number in range(3):
            with span("step", number=number):
                pass
            flush_here()
    (path,) = tmp_path.glob("driver-*.jsonl")
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for size in {last + 1, (last + len(whole)) // 2, len(whole) - 2}:
        path.write_bytes(whole[:size])
        record = read_record([tmp_path])
        assert (len(record.spans), record.torn) == (2, 1)
    path.write_bytes(whole[:last] + b'{"resourceSpans": 3}\n[]\n' + whole[last:])
    record = read_record([tmp_path])
    assert (len(record.spans), record.torn) == (3, 2)


def flush_here():
    from parsl_tl.events import flush

    flush()


def test_a_folder_without_a_record_is_told(tmp_path):
    with pytest.raises(AnalysisError, match="--trace"):
        read_record([tmp_path / "events"])
    with pytest.raises(AnalysisError, match="no span"):
        read_record([tmp_path])


def test_a_worker_that_does_not_see_the_folder_works_on(tmp_path, caplog):
    from parsl_tl.events.spans import Carried

    carried = Carried(f"00-{'ab' * 16}-{'cd' * 8}-01", str(tmp_path / "elsewhere"))
    for _ in range(2):
        assert unpack(run_packed(pack((sum, ([1, 2],), {})), trace=carried)) == 3
    assert not (tmp_path / "elsewhere").exists()
    assert caplog.text.count("records no spans") == 1


def test_spans_are_sent_to_an_endpoint(tmp_path, monkeypatch):
    """A real collector's part of it: an HTTP server that takes OTLP."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    taken = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "experiment=7")
        with recorded_by(Recorder(tmp_path, "driver")), span("sent"):
            pass
        server.shutdown()
    ((path, request),) = taken
    assert path == "/v1/traces"
    (of_resource,) = request.resource_spans
    assert [one.name for one in of_resource.scope_spans[0].spans] == ["sent"]
    said = {one.key: one.value.string_value for one in of_resource.resource.attributes}
    assert (said["role"], said["experiment"]) == ("driver", "7")
    assert named(read_record([tmp_path]), "sent")  # in the file, too
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidValueError, match="http/protobuf"):
        Recorder(tmp_path, "driver")


def test_a_sampler_leaves_whole_evaluations_out(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with recorded_by(Recorder(tmp_path, "driver")):
        stages.begin(1, "evaluation", "task")
        with stages.about(1):
            carried = stages.carried()
        assert carried.traceparent.endswith("-00") or carried.traceparent.endswith("-02")
        monkeypatch.delenv("OTEL_TRACES_SAMPLER")
        with continued(carried, "run"), span("step") as here:
            assert here.context == b""
    assert not list(tmp_path.glob("*.jsonl"))


def test_an_sdk_that_is_switched_off_records_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with recorded_by(Recorder(tmp_path, "driver")), span("one") as here:
        stages.begin(1, "evaluation", "task")
        with stages.about(1):
            assert stages.carried() is None
        assert here.context == b""
    assert not list(tmp_path.iterdir())


def test_every_line_is_a_request_of_otlp(tmp_path):
    with recorded_by(Recorder(tmp_path, "driver")), span("one", number=1, share=0.5, good=True):
        time.sleep(0.001)
    (path,) = tmp_path.iterdir()
    (line,) = path.read_text().splitlines()
    (of_resource,) = json.loads(line)["resourceSpans"]
    assert {"resource", "scopeSpans"} <= of_resource.keys()
    record = read_record([tmp_path])
    assert named(record, "one").attributes == {"number": 1, "share": 0.5, "good": True}
