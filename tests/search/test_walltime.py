"""Blocks and searches whose time ends: nothing is lost, and next to nothing is begun in vain."""

import itertools
import time

import pytest
import slow_table
import timed_blocks

from parsl_tl import Campaign, load_config

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
    [(20, 2, 6, 14), pytest.param(60, 5, 20, 24, marks=pytest.mark.full)],
)
def test_blocks_end_and_nothing_is_lost(tmp_path, block, shortest, longest, count):
    search = campaign(tmp_path, config(tmp_path, block), seconds=shortest, longest=longest)
    frame = search.search(count)
    assert len(frame) == count
    assert frame["failure"].isna().all()
    begun, ended = lines(tmp_path, "begun"), lines(tmp_path, "evaluated")
    blocks = {line[0] for line in ended}
    assert len(blocks) > 1
    # A block that knows nothing yet may begin what it cannot end.
    assert len(begun) - len(ended) <= 2
    seconds = time.time() - float(begun[0][0])
    worked = float(frame["seconds_total"].sum())
    print(
        f"{count} evaluations in {len(blocks)} blocks of {block} s: {seconds:.0f} s, of which 2 "
        f"workers worked {worked / 2 / seconds:.0%}; {len(begun) - len(ended)} cut off"
    )


def test_what_is_cut_off_is_done_again_and_what_never_fits_is_told(tmp_path):
    """Evaluations of 1 to 12 seconds in blocks of 8: most of them fit into one."""
    frame = campaign(tmp_path, config(tmp_path, 8), seconds=1, longest=12).search(6)
    assert len(frame) == 6
    takes = [float(seconds) for _, seconds in lines(tmp_path, "begun")]
    assert sum(seconds > 8 for seconds in takes) >= 2
    failed = frame[frame["failure"].notna()]
    assert set(failed["failure"]) == {"BlockEnded"}
    assert failed["error"].str.contains("give blocks a longer walltime").all()
    assert frame["seconds_total"].dropna().max() < 8
    again = [sum(1 for _ in group) for _, group in itertools.groupby(sorted(takes))]
    assert max(again) <= 2 + 1  # twice for what never fits, and once for a short rest of a block


def test_a_search_that_ends_begins_nothing_in_vain(tmp_path):
    search = campaign(
        tmp_path, load_config("local", max_workers=2, run_dir=str(tmp_path / "parsl")), seconds=2
    )
    frame = search.search(100, max_seconds=30)
    assert 2 <= len(frame) < 100
    assert len(lines(tmp_path, "begun")) == len(lines(tmp_path, "evaluated")) == len(frame)
    assert frame["failure"].isna().all()
