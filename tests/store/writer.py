"""A process that puts, inherits and retires without end, and prints what was acknowledged.

Run as ``python writer.py FOLDER FIRST_ID STEP``; the tests kill it.
"""

import sys

import numpy as np

from parsl_tl import open_store
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.spaces import get_space

SPACE = get_space("feed-forward", num_layers=6, units=(2, 4, 1), activations=["relu"])


def value_of(model_id, name):
    """What a layer that the model owns is filled with: different for every layer of every model."""
    return np.float64(model_id * 1000 + len(name) + int(name.split("_")[1][:6], 16))


def weights_of(model_id, names):
    """A few hundred to a few thousand bytes per layer."""
    return {name: [np.full(64 + model_id % 500, value_of(model_id, name))] for name in names}


def main():
    folder, next_id, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = np.random.default_rng(next_id)
    store = open_store(f"embedded:{folder}")
    print("ready", flush=True)
    mine = []
    while True:
        graph = SPACE.build(rng.integers(0, 4, 6).tolist(), (3,), (2,))
        names = [name for name in graph.layer_names if name.startswith("Dense")]
        donor = int(rng.choice(mine)) if mine and rng.random() < 0.7 else None
        if donor is not None:
            common = longest_common_prefix(graph, store.graph(donor))
            names = [name for name in names if name not in common]
        store.put(next_id, graph, weights_of(next_id, names), quality=0.0, donor=donor)
        print("put", next_id, flush=True)
        mine.append(next_id)
        next_id += step
        if len(mine) > 6:
            victim = mine.pop(0)
            print("retiring", victim, flush=True)
            store.retire(victim)
            print("retired", victim, flush=True)


if __name__ == "__main__":
    main()
