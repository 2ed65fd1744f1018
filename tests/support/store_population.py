"""Populations of models without weights, and processes over them that the tests kill.

Run as ``python store_population.py WHAT FOLDER FIRST_ID``; prints what was acknowledged.
"""

import sys
from pathlib import Path

import numpy as np

from parsl_tl import open_store

LAYERS = 6
SCRIPT = Path(__file__)
REAL = 10**12  # ids of models with real graphs, which are none of a population's


def hashes_of(model_id):
    """The model's layers: a prefix that many share, and the rest from a pool of a thousand."""
    rng = np.random.default_rng(model_id)
    shared = int(rng.integers(1, LAYERS))
    return [7 + i for i in range(shared)] + [
        1000 + i for i in rng.choice(1000, LAYERS - shared, replace=False).tolist()
    ]


def quality_of(model_id):
    return float(model_id % 13) - 6.0


def put_population(store, ids, fingerprints=None):
    store.put_architectures(*population_of(ids), fingerprints=fingerprints)


def population_of(ids):
    """What ``put_architectures`` takes."""
    ids = np.asarray(ids, np.uint64)
    count = len(ids)
    return (
        ids,
        np.array([quality_of(int(i)) for i in ids]),
        np.arange(count + 1) * LAYERS,
        np.array([hashes_of(int(i)) for i in ids], np.uint64).reshape(-1),
        np.zeros(count * LAYERS, np.uint16),
        ["Dense"],
        np.zeros(count + 1, np.int64),
        np.empty((0, 2), np.uint32),
    )


def ask(store, hashes):
    """(id, common layers) of the best model for the hashes; None without one."""
    keys = np.asarray(hashes, np.uint64)
    found, ids, scores, _ = store._engine.find_donors(
        keys, np.array([0, len(keys)]), np.empty(0), "layers", 0.0, None, set(), None, 1
    )
    return (int(ids[0]), int(scores[0])) if found[0] else None


def oracle(living, hashes):
    """The same, from ids in the order of storing."""
    wanted, best = set(hashes), None
    for order, model_id in enumerate(living):
        score = len(wanted & set(hashes_of(model_id)))
        rank = (score, quality_of(model_id), order)
        if score > 0 and (best is None or rank > best[0]):
            best = (rank, model_id, score)
    return None if best is None else best[1:]


def ids_of(store):
    return store.models()["model_id"].to_pylist()


def check_answers(store, living):
    """The table, lookups and queries are what models in this order of storing give."""
    assert ids_of(store) == living
    known = [model_id for model_id in living if model_id < REAL]
    for seed in range(1000, 1005):
        hashes = hashes_of(seed)
        assert ask(store, hashes) == oracle(known, hashes)
    report = store.verify()
    assert report.ok, report.problems


def fill(store, model_id):
    """Puts groups without end; every now and then retires one and folds."""
    while True:
        ids = range(model_id, model_id + 100)
        put_population(store, ids)
        print("put", model_id, flush=True)
        print("retiring", model_id, flush=True)
        store.retire(model_id)
        print("retired", model_id, flush=True)
        store.fold()
        print("folded", model_id, flush=True)
        model_id += 100


def compact(store, count):
    while True:
        store.compact()
        print("compacted", count, flush=True)


def main():
    what, folder, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = open_store(f"embedded:{folder}")
    print("ready", flush=True)
    {"fill": fill, "compact": compact}[what](store, first)


if __name__ == "__main__":
    main()
