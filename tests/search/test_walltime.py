"""Blocks and searches whose time ends: nothing is lost, and next to nothing is begun in vain."""

import pickle
import time

import pytest
import slow_table
import timed_blocks

from parsl_tl import Campaign, load_config
from parsl_tl.errors import BlockEndedError, EvaluationFailedError
from parsl_tl.federation.infrastructure import InfrastructureFaults

pytestmark = pytest.mark.slow

TABLE = f"{slow_table.__file__}:SlowTable"


def config(folder, seconds):
    return load_config(timed_blocks.__file__, seconds=seconds, run_dir=str(folder / "parsl"))


def campaign(folder, run_config, **problem_args):
    return Campaign(
        TABLE,
        "feed-forward",
        run_config,
        problem_args={"folder": str(folder), **problem_args},
        out=folder / "run",
    )


def lines(folder, name):
    return [line.split() for line in (folder / name).read_text().splitlines()]


@pytest.mark.parametrize(
    ("block", "shortest", "longest", "count"),
    [(30, 2, 6, 14), pytest.param(60, 5, 20, 24, marks=pytest.mark.full)],
)
def test_blocks_end_and_nothing_is_lost(tmp_path, block, shortest, longest, count):
    search = campaign(tmp_path, config(tmp_path, block), seconds=shortest, longest=longest)
    frame = search.search(count)
    assert len(frame) == count
    assert frame["failure"].isna().all()
    begun, ended = lines(tmp_path, "begun"), lines(tmp_path, "evaluated")
    blocks = {line[0] for line in ended}
    assert len(blocks) > 1
    assert len(begun) >= len(ended) >= count
    seconds = time.time() - float(begun[0][0])
    worked = float(frame["seconds_total"].sum())
    print(
        f"{count} evaluations in {len(blocks)} blocks of {block} s: {seconds:.0f} s, of which 2 "
        f"workers worked {worked / 2 / seconds:.0%}; {len(begun) - len(ended)} cut off"
    )


@pytest.mark.full
def test_what_never_fits_into_a_block_is_told(tmp_path):
    frame = campaign(tmp_path, config(tmp_path, 20), seconds=1, longest=60).search(4)
    assert len(frame) == 4
    takes = {float(seconds) for _, seconds in lines(tmp_path, "begun")}
    assert any(seconds > 20 for seconds in takes)
    failed = frame[frame["failure"].notna()]
    assert len(failed) >= sum(seconds > 20 for seconds in takes)
    assert set(failed["failure"]) == {"BlockEnded"}
    assert failed["error"].str.contains("give blocks a longer walltime").all()


def test_only_what_had_most_of_a_block_twice_counts_as_failed():
    faults = InfrastructureFaults(max_losses=1)
    for _ in range(5):  # no loss, and not the last of its tries
        assert faults.lost("short", "site", BlockEndedError(3.0, 60.0)) == 0
    assert faults.lost("long", "site", BlockEndedError(58.0, 60.0)) == 0
    faults.ended("another")
    with pytest.raises(EvaluationFailedError, match="58 of its block's 60 seconds") as failed:
        faults.lost("long", "site", BlockEndedError(58.0, 60.0))
    assert failed.value.reason == "BlockEnded"
    assert pickle.loads(pickle.dumps(BlockEndedError(1.0, 2.0))).block_seconds == 2.0


def test_a_search_that_ends_begins_nothing_in_vain(tmp_path):
    search = campaign(
        tmp_path, load_config("local", max_workers=2, run_dir=str(tmp_path / "parsl")), seconds=2
    )
    frame = search.search(100, max_seconds=30)
    assert 2 <= len(frame) < 100
    assert len(lines(tmp_path, "begun")) == len(lines(tmp_path, "evaluated")) == len(frame)
    assert frame["failure"].isna().all()
