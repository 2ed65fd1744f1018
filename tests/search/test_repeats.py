"""An architecture is evaluated once, however often it comes up."""

import numpy as np
import pytest

from parsl_tl.problems import Problem
from parsl_tl.search import ExpiringRegularizedEvolution
from parsl_tl.search.admission import Admission
from parsl_tl.search.candidate import arch_seq_of, candidate_config
from parsl_tl.search.evaluated import EvaluatedArchitectures
from parsl_tl.spaces import get_space

SMALL = get_space("feed-forward", num_layers=2, units=(4, 8, 4), activations=["relu"])


class Small(Problem):
    name, input_shape, output_shape = "small", (3,), (2,)

    def _load(self):
        raise AssertionError("nobody needs its data")


NAMES = [choice.name for choice in SMALL.choices()]


def make(tmp_path, **kwargs):
    settings = {"population_size": 3, "sample_size": 2, "seed": 5, **kwargs}
    return ExpiringRegularizedEvolution(SMALL, log_dir=str(tmp_path), **settings)


def run(search, evaluations):
    told = []
    for _ in range(evaluations):
        (config,) = search.ask(1)
        objective = float(sum(arch_seq_of(config, NAMES)))
        search.tell([(config, objective)])
        told.append({**config, "objective": objective})
    return told


def sequences(told):
    return [tuple(arch_seq_of(config, NAMES)) for config in told]


def test_every_architecture_of_a_small_space_is_asked_for_once(tmp_path):
    search = make(tmp_path)
    asked = sequences(run(search, 9))
    assert sorted(asked) == [(a, b) for a in range(3) for b in range(3)]
    assert search.num_left(5) == 0


def test_then_they_repeat(tmp_path):
    asked = sequences(run(make(tmp_path), 20))
    assert len(set(asked)) == 9


def test_repeats_can_be_allowed(tmp_path):
    search = make(tmp_path, allow_repeats=True)
    asked = sequences(run(search, 9))
    assert len(set(asked)) < 9
    assert search.num_left(7) == 7


def test_children_still_differ_from_their_parent_in_one_choice(tmp_path):
    told = run(make(tmp_path), 9)
    by_id = {config["model_id"]: config for config in told}
    children = [config for config in told if config["parent"] is not None]
    assert children
    for child in children:
        parent = arch_seq_of(by_id[child["parent"]], NAMES)
        assert sum(a != b for a, b in zip(arch_seq_of(child, NAMES), parent, strict=True)) == 1


@pytest.mark.parametrize("stop", [2, 5, 8])
def test_an_interrupted_search_asks_for_the_same(tmp_path, stop):
    whole = run(make(tmp_path), 12)
    first = make(tmp_path)
    finished = run(first, stop)
    (unfinished,) = first.ask(1)
    second = make(tmp_path)
    second.restore(finished, [unfinished])
    assert second.num_left(20) == 9 - stop
    assert finished + run(second, 12 - stop) == whole


def test_sequences_of_one_graph_are_one_architecture():
    identify = Admission(SMALL, Small()).identity
    assert identify((0, 2)) == identify((2, 0))  # the layer that is left out may stand anywhere
    assert identify((1, 2)) != identify((2, 1))
    evaluated = EvaluatedArchitectures(SMALL, identify)
    evaluated.add([0, 2])
    assert [2, 0] in evaluated
    assert evaluated.num_left(100) == 6  # 9 sequences, two pairs of which are the same


def test_what_is_left_is_found_however_little_it_is():
    evaluated = EvaluatedArchitectures(SMALL)
    for a in range(3):
        for b in range(3):
            if (a, b) != (2, 1):
                evaluated.add((a, b))
    rng = np.random.default_rng(0)
    assert evaluated.draw(rng) == [2, 1]
    evaluated.add([2, 1])
    assert evaluated.draw(rng) is None


def test_a_large_space_is_not_looked_through():
    large = get_space("dense-skip", num_layers=10)
    evaluated = EvaluatedArchitectures(large, Admission(large, Small()).identity)
    assert evaluated.num_left(10**9) == 10**9
    assert evaluated.draw(np.random.default_rng(0)) not in evaluated


def test_choices_that_are_called_as_keys_of_a_job_have_a_place_of_their_own():
    plain = candidate_config(["a", "b"], [1, 2], job=7, parent=None)
    assert plain == {"a": 1, "b": 2, "job": 7, "parent": None}
    nested = candidate_config(["parent", "job"], [1, 2], job=7, parent=None)
    assert nested == {"choices": {"parent": 1, "job": 2}, "job": 7, "parent": None}
    assert arch_seq_of(plain, ["b", "a"]) == [2, 1]
    assert arch_seq_of(nested, ["job", "parent"]) == [2, 1]
