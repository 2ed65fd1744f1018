"""Processes that put many models and fold are killed at any moment."""

import random
import subprocess
import sys
import warnings

import pytest
from store_population import SCRIPT, check_answers, ids_of
from store_writer import kill

from parsl_tl import open_store


def start(what, folder, first):
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), what, str(folder), str(first)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill_filler(process, rng):
    """Kills it some time; returns {word: numbers} of what it had printed."""
    said = {}
    for word, number in kill(process, rng.randint(0, 8), rng.uniform(0.0, 0.1)):
        said.setdefault(word, []).append(int(number))
    return said


def kill_while_folding(folder, rounds, seed):
    rng = random.Random(seed)
    living, folds = [], 0
    for number in range(rounds):
        first = number * 1_000_000
        process = start("fill", folder, first)
        said = kill_filler(process, rng)
        folds += len(said.get("folded", []))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a torn tail is reported, and expected
            store = open_store(f"embedded:{folder}")
        with store:
            assert list((folder / "tmp").iterdir()) == []
            now = ids_of(store)
            new = [i for i in now if i >= first]
            put, retired = said.get("put", []), set(said.get("retired", []))
            perhaps = set(said.get("retiring", [])) - retired
            # At most one more group, whose answer was never read.
            groups = {i // 100 * 100 for i in new}
            assert set(put) <= groups <= {*put, *([put[-1] + 100] if put else [first])}
            expected = [i for g in sorted(groups) for i in range(g, g + 100) if i not in retired]
            assert [i for i in expected if i not in perhaps] == [i for i in new if i not in perhaps]
            assert [i for i in now if i < first] == living
            check_answers(store, now)
            for model_id in now[:-150]:
                store.retire(model_id)
            living = now[-150:]
    return folds


def test_kill_while_putting_many_and_folding(tmp_path):
    assert kill_while_folding(tmp_path / "s", 6, seed=3) > 0


@pytest.mark.slow
@pytest.mark.parametrize("stores", [1, pytest.param(6, marks=pytest.mark.full)])
def test_kill_while_putting_many_and_folding_many_times(tmp_path, stores):
    folds = [
        kill_while_folding(tmp_path / f"s{part}", 15, seed=10 + part) for part in range(stores)
    ]
    assert sum(folds) > stores
