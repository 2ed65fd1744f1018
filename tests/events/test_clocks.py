"""Clocks of nodes are corrected so that parts are within what they are a part of."""

import random

import pytest

from parsl_tl.events.clocks import correct_clocks
from parsl_tl.events.record import Process, Record, RecordedSpan

MS = 1_000_000


def a_record(offsets, seed=1, calls=40):
    """Evaluations of a driver on two workers that ask two servers, each by its own clock."""
    rng = random.Random(seed)
    names = ["driver", "worker0", "worker1", "server0", "server1"]
    processes = {n: Process(n, n, 1, n.rstrip("01"), n) for n in names}
    record = Record()

    def add(name, who, start, end, parent=None, error=None):
        key = f"{name}{len(record.spans)}"
        shift = offsets.get(who, 0)
        record.spans[key] = RecordedSpan(
            key, parent, name, start - shift, end - shift, {}, error, processes[who]
        )
        return key

    now = 10**18
    for i in range(calls):
        now += 50 * MS
        delays = [rng.randrange(MS // 10, 3 * MS) for _ in range(4)]
        task = add("task", "driver", now, now + 40 * MS)
        begin, end = now + delays[0], now + 40 * MS - delays[1]
        run = add("run", f"worker{i % 2}", begin, end, task)
        call = add("call", f"worker{i % 2}", begin + 5 * MS, begin + 15 * MS, run)
        for server in ("server0", "server1"):
            add("put", server, begin + 5 * MS + delays[2], begin + 15 * MS - delays[3], call)
    return record


def check_within(record):
    for span in record.spans.values():
        parent = record.parent_of(span)
        if parent is not None and parent.error is None:
            assert parent.start <= span.start
            assert span.end <= parent.end


@pytest.mark.parametrize("seed", range(5))
def test_clocks_that_are_wrong_are_corrected(seed):
    rng = random.Random(100 + seed)
    others = ("worker0", "worker1", "server0", "server1")
    offsets = {name: rng.randrange(-5000 * MS, 5000 * MS) for name in others}
    record = a_record(offsets, seed)
    found, agree = correct_clocks(record)
    assert agree
    check_within(record)
    assert found["driver"].nanoseconds == 0
    for name, offset in offsets.items():
        # Round trips of a few milliseconds tell the difference to less than that.
        assert abs(found[name].nanoseconds - offset) <= found[name].uncertainty + 1 <= 3 * MS


def test_clocks_that_may_be_right_are_left_alone():
    record = a_record({})
    before = {key: span.start for key, span in record.spans.items()}
    found, agree = correct_clocks(record)
    assert agree
    assert {clock.nanoseconds for clock in found.values()} == {0}
    assert {key: span.start for key, span in record.spans.items()} == before
    check_within(record)


def test_a_clock_that_nothing_ties_to_others_is_said_to_be():
    record = a_record({"worker0": 9 * MS})
    lonely = Process("alone", "alone", 1, "server", "x")
    record.spans["z"] = RecordedSpan("z", "not recorded", "put", 5, 6, {}, None, lonely)
    found, _ = correct_clocks(record)
    assert found["alone"].uncertainty is None
    assert found["worker0"].uncertainty is not None
    assert record.spans["z"].start == 5


def test_a_clock_that_is_set_meanwhile_is_noticed():
    record = a_record({"worker0": 9 * MS})
    late = [s for s in record.spans.values() if s.process.host == "worker0"][20:]
    for span in late:
        span.start += 1000 * MS
        span.end += 1000 * MS
    _, agree = correct_clocks(record)
    assert not agree


def test_what_goes_on_after_its_whole_was_given_up_bounds_nothing():
    record = a_record({})
    tasks = [span for span in record.spans.values() if span.name == "task"]
    tasks[3].error = "more than 1 seconds"
    tasks[3].end -= 39 * MS
    found, agree = correct_clocks(record)
    assert agree
    assert {clock.nanoseconds for clock in found.values()} == {0}
