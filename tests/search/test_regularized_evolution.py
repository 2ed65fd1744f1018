import pytest

from parsl_tl.errors import InvalidValueError
from parsl_tl.search import ExpiringRegularizedEvolution
from parsl_tl.spaces import get_space

SPACE = get_space("dense-skip", num_layers=3)
NAMES = [choice.name for choice in SPACE.choices()]


def make(tmp_path, expired=None, **kwargs):
    settings = {"population_size": 6, "sample_size": 3, "seed": 1, **kwargs}
    on_expire = None if expired is None else expired.append
    return ExpiringRegularizedEvolution(
        SPACE, on_expire=on_expire, log_dir=str(tmp_path), **settings
    )


def objective(config):
    return sum(config[name] for name in NAMES) / 100


def run(search, evaluations, fail=()):
    """Asks and tells one by one; returns what was asked, with its result."""
    told = []
    for _ in range(evaluations):
        (config,) = search.ask(1)
        result = "F_Broken" if config["job"] in fail else objective(config)
        search.tell([(config, result)])
        told.append({**config, "objective": result})
    return told


def test_random_candidates_come_first_and_start_from_scratch(tmp_path):
    told = run(make(tmp_path), 12)
    assert all(c["parent"] is None and c["from_scratch"] for c in told[:6])
    assert all(c["parent"] is not None and not c["from_scratch"] for c in told[6:])


def test_a_child_differs_from_its_parent_in_one_choice(tmp_path):
    told = {config["model_id"]: config for config in run(make(tmp_path), 40)}
    for config in told.values():
        if config["parent"] is not None:
            parent = told[config["parent"]]
            assert sum(config[name] != parent[name] for name in NAMES) == 1


def test_the_parent_was_in_the_population_and_won_its_tournament(tmp_path):
    search = make(tmp_path, sample_size=6)
    for _ in range(30):
        population = search.population
        (config,) = search.ask(1)
        if config["parent"] is not None:  # the whole population takes part: the best wins
            best = max(member.objective for member in population)
            winners = [m.model_id for m in population if m.objective == best]
            assert config["parent"] in winners
        search.tell([(config, objective(config))])


def test_the_oldest_member_expires(tmp_path):
    expired = []
    search = make(tmp_path, expired)
    told = run(search, 20)
    ids = [config["model_id"] for config in told]
    assert expired == ids[:14]
    assert [member.model_id for member in search.population] == ids[14:]


def test_failures_are_no_members(tmp_path):
    expired = []
    search = make(tmp_path, expired)
    told = run(search, 20, fail={2, 9, 15})
    good = [c["model_id"] for c in told if not isinstance(c["objective"], str)]
    assert [member.model_id for member in search.population] == good[-6:]
    assert expired == good[:-6]


@pytest.mark.parametrize("stop", [3, 7, 15])
def test_a_restored_search_asks_what_the_first_one_would_have(tmp_path, stop):
    fail = {1, 8}
    whole = run(make(tmp_path), 25, fail)
    first = make(tmp_path)
    finished = run(first, stop, fail)
    (unfinished,) = first.ask(1)
    second = make(tmp_path)
    second.restore(finished, [unfinished])
    assert finished + run(second, 25 - stop, fail) == whole


def test_the_seed_decides(tmp_path):
    assert run(make(tmp_path), 15) == run(make(tmp_path), 15)
    assert run(make(tmp_path), 15) != run(make(tmp_path, seed=2), 15)


def test_evolution_gets_better_than_its_start(tmp_path):
    told = run(make(tmp_path), 150)
    start = max(config["objective"] for config in told[:6])
    assert max(config["objective"] for config in told) > start


@pytest.mark.parametrize(
    "sizes", [{"population_size": 1}, {"sample_size": 0}, {"sample_size": 7}, {"beta": 0.1}]
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, sizes):
    with pytest.raises(InvalidValueError):
        make(tmp_path, **sizes)
