"""Traces that are replayed against a store's servers: every line is asked for once, and stored."""

import json

import pandas as pd
import pytest

from parsl_tl import open_store
from parsl_tl.benchmarks.core.options import check_values
from parsl_tl.benchmarks.suites.replay import ReplaySuite, trace_files
from parsl_tl.cli import main
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import get_space


@pytest.fixture
def traces(tmp_path):
    """Two files of architectures; one has bare configurations, as published traces do."""
    folder = tmp_path / "traces"
    folder.mkdir()
    space = get_space("feed-forward", num_layers=4)
    texts = [space.build([1, 1, 1 + i % 2, 1 + i], (8,), (2,)).to_json() for i in range(5)]
    (folder / "a.json").write_text("".join(f"{text}\n" for text in texts[:3]))
    bare = [json.dumps(json.loads(text)["config"]) for text in texts[3:]]
    (folder / "b.jsonl").write_text("".join(f"{text}\n" for text in bare))
    return folder


def test_no_traces_and_wrong_numbers_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="there are no traces in"):
        trace_files(tmp_path)
    with pytest.raises(InvalidValueError, match="ranks=0"):
        check_values(ReplaySuite(traces=tmp_path, ranks=(0,)))


@pytest.mark.slow
def test_every_line_is_replayed_by_one_of_the_tasks(tmp_path, traces, capsys):
    out = tmp_path / "out"
    command = ["bench", "replay", str(traces), "--ranks", "1", "2", "--out", str(out)]
    assert main(command) == 0, capsys.readouterr()
    rows = pd.read_csv(out / "replay.csv")
    for ranks, own in rows.groupby("ranks"):
        for operation in ("query", "store"):
            lines = own[own.operation == operation]
            assert sorted(lines.line) == list(range(5))
            assert (lines["rank"] == lines.line % ranks).all()
        assert (own.seconds > 0).all()
    # The first architecture finds nothing, all later ones find what they share with it.
    alone = rows[(rows.ranks == 1) & (rows.operation == "query")].set_index("line").matched
    assert alone[0] == 0
    assert (alone[1:] >= 3).all()
    read = rows[rows.operation == "read"]
    assert (read.bytes > 0).all()
    shown = pd.read_csv(out / "replay_latency.csv")
    assert list(shown[shown.operation == "query"]["count"]) == [5, 5]
    assert {"replay_rates.png", "replay_latencies.png"} <= {path.name for path in out.iterdir()}


@pytest.mark.slow
def test_what_was_stored_is_retired_again_and_a_bad_line_is_told(tmp_path, traces, capsys):
    from parsl_tl.benchmarks.core.servers import serving

    with (traces / "b.jsonl").open("a") as file:
        file.write("{}\n")
    with serving("grpc+tcp://127.0.0.1:0", tmp_path, 1) as servers:
        (uri,) = servers.uris
        command = ["bench", "replay", str(traces), "--ranks", "1", "--store", uri]
        assert main([*command, "--out", str(tmp_path / "out")]) == 1
        assert "b.jsonl, line 3" in capsys.readouterr().out
        assert main([*command, "--out", str(tmp_path / "out"), "--limit", "5"]) == 0
        with open_store(uri) as store:
            assert len(store) == 0
