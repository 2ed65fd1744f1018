"""Processes that meet by pipes: nobody goes on before all are there, round after round."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parsl_tl.benchmarks.core.meeting import Team, team_of


def meet_often(member, rounds):
    """Gives when this member arrived, and when it went on; the first one's number counts."""
    times = []
    for number in range(rounds):
        arrived = time.perf_counter()
        agreed = member.agree(number - 5 if member.index == 0 else 1000)
        times.append((arrived, time.perf_counter()))
        assert agreed == number - 5
    return times


def test_nobody_goes_on_before_all_are_there():
    # Threads do, since each member opens the pipes for itself.
    with team_of(5) as team, ThreadPoolExecutor(5) as pool:
        folder = Path(team[0].folder)
        found = list(pool.map(lambda member: member.do(meet_often, (300,)), team))
    for meeting in zip(*found, strict=True):
        last_arrived, first_on = max(a for a, _ in meeting), min(on for _, on in meeting)
        assert last_arrived <= first_on
    assert not folder.exists()


def test_who_is_alone_waits_for_nobody():
    alone = Team(0, 1)
    assert alone.do(meet_often, (3,))
    alone.meet()
