"""Searches of other libraries: what they propose, what they are told, and how budgets end them."""

import math

import pandas as pd
import pytest

from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import get_space
from parsl_tl.study.measures import beside_peers
from parsl_tl.study.peers import PEERS, Budget, check_peers, make_peer

SPACE = get_space("feed-forward", num_layers=2)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_searches_the_space_and_survives_failures(name):
    peer = make_peer(name, SPACE, seed=1, population=4, sample=2)
    waiting = [peer.ask() for _ in range(2)]  # as many as there are workers
    seen = []
    for number in range(6):
        asked, arch_seq = waiting.pop(0)
        seen.append(tuple(SPACE.check(arch_seq)))
        peer.tell(asked, None if number == 3 else float(-sum(arch_seq)))
        waiting.append(peer.ask())
    assert len(set(seen)) > 2


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_repeats_its_proposals_by_its_seed(name):
    def proposals(seed):
        peer = make_peer(name, SPACE, seed, 4, 2)
        return [peer.ask()[1] for _ in range(3)]

    assert proposals(3) == proposals(3) != proposals(4)


def test_the_surrogates_of_peers_find_a_hill():
    """A tuner that is told wrongly, or of the wrong sign, does no better than chance."""
    for name in ("optuna-tpe", "deephyper-evolution"):
        peer, values = make_peer(name, SPACE, 0, 8, 4), []
        for _ in range(45):
            asked, arch_seq = peer.ask()
            values.append(float(-sum(arch_seq)))
            peer.tell(asked, values[-1])
        early, late = pd.Series(values[:15]).mean(), pd.Series(values[-15:]).mean()
        assert late > early, name


def test_a_budget_is_evaluations_and_seconds():
    budget = Budget(evaluations=4, seconds=10.0, most=6)
    assert budget.allows(3, 50.0)
    assert budget.allows(5, 9.0)
    assert not budget.allows(4, 10.0)
    assert not budget.allows(6, 1.0)
    assert Budget(4, math.inf, 6).allows(5, 1e9)


def test_a_peer_that_there_is_not_is_refused(monkeypatch):
    with pytest.raises(InvalidValueError, match="did you mean 'optuna-tpe'"):
        check_peers(["optuna-tpee"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidValueError, match="pip install keras-tuner"):
        check_peers(["keras-tuner-random"])


def test_policies_are_compared_with_peers_by_seed():
    rows = [
        ("c", "scratch", 0, 0.5, 0.55, 0.56),
        ("c", "thaw:2", 0, 0.7, 0.6, 0.8),
        ("c", "optuna-tpe", 0, 0.6, 0.5, math.nan),
    ]
    names = ["case", "policy", "seed", "equal_cpu", "scratch_test", "inherited_test"]
    frame = beside_peers(pd.DataFrame(rows, columns=names), ["optuna-tpe"], 0.9)
    found = {(row.policy, row.value): row.difference for row in frame.itertuples()}
    assert found["thaw:2", "equal_cpu"] == pytest.approx(0.1)
    assert found["thaw:2", "scratch_test"] == pytest.approx(0.1)
    assert found["thaw:2", "inherited_test"] == pytest.approx(0.3)
    assert ("optuna-tpe", "equal_cpu") not in found
    assert frame["peer"].eq("optuna-tpe").all()
