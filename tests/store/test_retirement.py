"""Retirement is exact, and a population that stays as large as it was takes no more room."""

import numpy as np
import pytest
import store_population as population

from parsl_tl import open_store


def files_of(folder):
    return list((folder / "segments").iterdir())


def check_files(store, folder):
    stats = store.stats()
    sizes = [path.stat().st_size for path in files_of(folder)]
    assert (stats["segments"], stats["bytes_segments"]) == (len(sizes), sum(sizes))
    assert stats["bytes_log"] == (folder / "log").stat().st_size


def churn(store, tools, first, rounds, alive):
    """Puts children of the oldest model alive and retires it, a number of times."""
    graphs = [tools.graph(1 + i % 3, 1 + i % 2, i % 4) for i in range(24)]
    names = [[name for name in graph.layer_names if name.startswith("Dense")] for graph in graphs]
    for model_id in range(first, first + rounds):
        graph, own = graphs[model_id % 24], names[model_id % 24]
        donor = alive[0] if alive and model_id % 3 else None
        common = () if donor is None else set(store.composition(donor))
        weights = {n: [np.full(30, model_id, "f4")] for n in own if n not in common}
        store.put(model_id, graph, weights, quality=model_id % 5, donor=donor)
        alive.append(model_id)
        if len(alive) > 20:
            store.retire(alive.pop(0))


@pytest.mark.parametrize("rounds", [300, pytest.param(2500, marks=pytest.mark.slow)])
def test_a_constant_population_takes_constant_room(tmp_path, tools, rounds):
    folder = tmp_path / "s"
    alive = []
    with open_store(f"embedded:{folder}") as store:
        churn(store, tools, 0, rounds, alive)
        store.fold()
        first = store.stats()
        check_files(store, folder)
        churn(store, tools, rounds, rounds, alive)
        store.fold()
        second = store.stats()
        check_files(store, folder)
        assert second["models"] == first["models"] == 20
        assert second["changes_since_snapshot"] == 0
        for name in ("layers", "layer_references", "segments", "bytes_live"):
            assert second[name] <= 1.6 * first[name], name
        assert second["bytes_index_shared"] <= 1.2 * first["bytes_index_shared"]
        assert second["bytes_index_private"] <= first["bytes_index_private"] + 1000
        # Used ids stay for good: 8 + 8 + 1 + 4 bytes each. Nothing else does.
        grown = second["bytes_snapshot"] - first["bytes_snapshot"]
        assert grown <= 22 * rounds + 2000
        living = {
            (owner, name)
            for model_id in alive
            for name, owner in store.composition(model_id).items()
            if name.startswith("Dense")
        }
        assert second["layers"] == len(living)
        assert second["bytes_live"] == 120 * len(living)
        assert store.verify().ok
        for model_id in alive:
            store.retire(model_id)
        empty = store.stats()
        for name in ("models", "layers", "layer_references", "segments", "bytes_live"):
            assert empty[name] == 0, name
        assert files_of(folder) == []


def test_put_and_retired_before_a_fold_leaves_only_its_id(tmp_path, tools):
    graph = tools.graph(1, 2)
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        store.put(0, graph, tools.weights(graph), quality=0)
        store.fold()
        before = store.stats()
        for model_id in range(1, 1000):
            store.put(model_id, graph, {}, quality=0, donor=0)
            store.retire(model_id)
        now = store.stats()
        changed = {name for name in before if before[name] != now[name]}
        assert changed - {"bytes_index_private"} == {"bytes_log", "changes_since_snapshot"}
        assert now["bytes_index_private"] < 2000  # one slot, used again and again
        store.fold()
        changed = {name for name, value in store.stats().items() if before[name] != value}
        assert changed <= {"bytes_log", "bytes_snapshot", "bytes_index_private"}
        assert store.find_donor(graph).model_id == 0
        assert all(store.reference_count(0, name) == 1 for name in tools.weights(graph))


@pytest.mark.parametrize("compacts", [False, True])
def test_references_across_snapshots(tmp_path, tools, compacts):
    """Owners, holders and retirements on either side of a snapshot, in every order."""
    graph = tools.graph(1, 2, 3)
    weights = tools.weights(graph)
    size = sum(array.nbytes for arrays in weights.values() for array in arrays)
    for order in range(16):
        folder = tmp_path / f"s{order}"
        folds = [bool(order & (1 << bit)) for bit in range(4)]
        with open_store(f"embedded:{folder}") as store:

            def fold(bit, store=store, folds=folds):
                if folds[bit]:
                    store.compact() if compacts else store.fold()

            store.put(1, graph, weights, quality=0)
            fold(0)
            store.put(2, graph, {}, quality=0, donor=1)
            fold(1)
            assert store.retire(1) == 0
            fold(2)
            store.put(3, graph, {}, quality=0, donor=2)
            fold(3)
            assert set(store.composition(3).values()) == {1, 3}  # the input is its own
            assert all(store.reference_count(1, name) == 2 for name in weights)
            assert store.retire(2) == 0
            assert tools.same(store.read(3), weights)
            check_files(store, folder)
            assert store.retire(3) == size
            assert store.stats()["bytes_live"] == 0
            assert files_of(folder) == []
            assert store.verify().ok


def test_populations_come_and_go(store):
    """Thousands at once, retired in an order that is not theirs, before and after a fold."""
    living, rng = [], np.random.default_rng(1)

    def check():
        # Servers store their shares of one call side by side.
        order = list if store.uri.startswith("embedded:") else sorted
        assert order(store.models()["model_id"].to_pylist()) == order(living)
        for seed in range(5000, 5010):
            hashes = population.hashes_of(seed)
            found, expected = population.ask(store, hashes), population.oracle(living, hashes)
            if order is sorted:  # which is the last of equals only their times tell
                found, expected = found[1], expected[1]
            assert found == expected

    for first in range(0, 2400, 800):
        population.put_population(store, range(first, first + 800))
        living += range(first, first + 800)
        for model_id in rng.permutation(living)[:500].tolist():
            store.retire(model_id)
            living.remove(model_id)
        check()
    assert store.stats()["bytes_snapshot"] == 0  # so few changes are nobody's to fold
    store.fold()
    assert store.stats()["changes_since_snapshot"] == 0
    check()
    for model_id in rng.permutation(living)[:800].tolist():
        store.retire(model_id)
        living.remove(model_id)
    check()
    store.fold()
    check()
    per_model = store.stats()["bytes_index_shared"] / len(living)
    assert per_model < 600  # of six layers, most of them nobody else's
