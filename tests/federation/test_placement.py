"""Decisions of the router: nothing idle while more is to come, nobody slow with the last tasks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import InvalidValueError
from parsl_tl.federation.placement import SiteState, WaitingTask, place
from parsl_tl.federation.simulation import Costs, SimulatedSite, at_random, simulate
from parsl_tl.problems import get_problem
from parsl_tl.spaces import get_space

TWO_SPEEDS = [SimulatedSite("fast", 2, 1.0), SimulatedSite("slow", 2, 0.25)]


@pytest.fixture(scope="module")
def trainings():
    """Seconds that networks of NAS-Bench-201 were trained for, with 200 epochs of CIFAR-10."""
    problem = get_problem("nasbench201")
    space = get_space("nasbench201")
    draw = np.random.default_rng(1)
    return [
        problem.look_up(space, [int(draw.integers(len(c.values))) for c in space.choices()])[
            "seconds"
        ]
        for _ in range(400)
    ]


def ideal(sites, work):
    """No schedule is shorter: all work at all speeds, or the longest task on the fastest site."""
    rate = sum(site.workers * site.speed for site in sites)
    return max(sum(work) / rate, max(work) / max(site.speed for site in sites))


def test_while_more_is_to_come_no_slot_is_idle():
    sites = [SiteState("fast", 2, 2, 1.0, lambda: [0.1, 0.1]), SiteState("slow", 1, 0, 60.0)]
    assert place([WaitingTask()], sites, more_to_come=True) == (0, "slow")
    assert place([WaitingTask()], sites, more_to_come=False) is None


def test_among_free_sites_the_fastest_is_first_and_unknown_ones_are_tried():
    known = [SiteState("a", 1, 0, 5.0), SiteState("b", 1, 0, 2.0)]
    assert place([WaitingTask()], known, more_to_come=True).site == "b"
    unknown = [SiteState("a", 1, 0, 2.0), SiteState("b", 4, 0, None)]
    assert place([WaitingTask()], unknown, more_to_come=True).site == "b"


def test_a_task_goes_only_where_it_can_run_and_near_its_data():
    sites = [SiteState("gpu", 1, 0, 1.0), SiteState("cpu", 1, 0, 9.0)]
    on_cpu = WaitingTask(sites=frozenset(["cpu"]))
    assert place([on_cpu], sites, more_to_come=True) == (0, "cpu")
    busy = [SiteState("gpu", 1, 0, 1.0), SiteState("cpu", 1, 1, 9.0, lambda: [5.0])]
    # The first waits for its site, the second one does not wait for the first.
    assert place([on_cpu, WaitingTask()], busy, more_to_come=True) == (1, "gpu")
    assert place([on_cpu, WaitingTask()], busy, more_to_come=False) == (1, "gpu")
    far = WaitingTask(costs={"gpu": 20.0})
    assert place([far], sites, more_to_come=True).site == "cpu"


def shortest(number):
    """The best that can be done with whole tasks of one second at TWO_SPEEDS, known beforehand."""
    seconds = 0
    while sum(site.workers * int(seconds * site.speed) for site in TWO_SPEEDS) < number:
        seconds += 1
    return seconds


@pytest.mark.parametrize("number", [10, 37, 100, 400])
def test_two_sites_of_speeds_one_and_four_end_as_soon_as_can_be(number):
    work = [1.0] * number
    found = simulate(TWO_SPEEDS, work)
    # The slow site's speed is not known before its first task has ended.
    assert found.seconds <= max(shortest(number), 4.0) + (1.0 if number < 40 else 0.0)
    assert sum(found.tasks.values()) == number
    by_chance = [
        simulate(TWO_SPEEDS, work, place_one=at_random(seed, ["fast", "slow"])).seconds
        for seed in range(5)
    ]
    assert found.seconds < min(by_chance)


def test_on_many_tasks_the_makespan_is_within_5_percent_of_the_ideal():
    work = [1.0] * 400
    assert simulate(TWO_SPEEDS, work).seconds < 1.05 * ideal(TWO_SPEEDS, work)


@pytest.mark.parametrize("is_known", [True, False], ids=["work known", "work unknown"])
def test_durations_of_real_trainings_end_within_5_percent_of_the_ideal(trainings, is_known):
    """As a search places them, too: for the router, its evaluations are all alike."""

    def alike(waiting, sites):
        mean = WaitingTask(sum(trainings) / len(trainings))
        return place([mean] * len(waiting), sites, more_to_come=False)

    found = simulate(TWO_SPEEDS, trainings, **({} if is_known else {"place_one": alike}))
    shortest = ideal(TWO_SPEEDS, trainings)
    by_chance = [
        simulate(TWO_SPEEDS, trainings, place_one=at_random(seed, ["fast", "slow"])).seconds
        for seed in range(3)
    ]
    print(f"router {found.seconds / shortest:.3f}, by chance {min(by_chance) / shortest:.2f} ideal")
    assert found.seconds < 1.05 * shortest
    assert min(by_chance) > 2 * shortest


@given(
    st.lists(st.floats(0.2, 5.0), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(1, 4), st.floats(0.1, 4.0)), min_size=1, max_size=4),
)
def test_all_tasks_end_once_and_within_the_bound_of_list_scheduling(work, sites):
    sites = [SimulatedSite(str(n), workers, speed) for n, (workers, speed) in enumerate(sites)]
    found = simulate(sites, work)
    assert sum(found.tasks.values()) == len(work)
    assert found.seconds >= ideal(sites, work) * (1 - 1e-9)
    assert found.utilization <= 1 + 1e-9
    # A task that starts last starts before all work could be done, and may be on the slowest site.
    slowest = max(work) / min(site.speed for site in sites)
    assert found.seconds <= ideal(sites, work) + 2 * slowest


def test_what_all_share_limits_a_workflow():
    sites = [SimulatedSite("one", 100)]
    work = [1.0] * 1000
    free = simulate(sites, work)
    assert free.utilization == pytest.approx(1.0)
    assert free.steady == pytest.approx(9.0)  # of ten rounds, the last one is on its way
    slow_driver = simulate(sites, work, costs=Costs(driver=0.05))
    assert slow_driver.seconds >= 0.99 * 1000 * 0.05
    assert slow_driver.driver > 0.9
    servers = [
        simulate(sites, work, costs=Costs(store=0.05, servers=count)).seconds for count in (1, 4)
    ]
    assert servers[0] > 2 * servers[1]
    network = simulate(sites, work, costs=Costs(bandwidth=10.0, bytes=1.0))
    assert network.network > 0.9


def test_a_site_that_joins_later_gets_work():
    found = simulate([TWO_SPEEDS[0], SimulatedSite("late", 8, 1.0, starts=20.0)], [1.0] * 200)
    assert found.tasks["late"] > 100


def test_sites_without_workers_are_refused():
    with pytest.raises(InvalidValueError, match="no site has a worker"):
        simulate([SimulatedSite("a", 0)], [1.0])
