"""A process that puts, inherits and retires without end, and prints what was acknowledged.

Run as ``python store_writer.py FOLDER FIRST_ID STEP NOTES``; the tests kill it, and check what it
leaves.
"""

import signal
import subprocess
import sys
import time

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


def notes_of(model_id, size):
    """What makes a model's record long, compressed as it is."""
    return np.random.default_rng(model_id).bytes(size // 2).hex()


def start_writer(folder, first_id, step=1, notes=0):
    """Starts one whose models have attributes of a number of bytes."""
    arguments = map(str, (folder, first_id, step, notes))
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process, after_lines=0, seconds=0.0):
    """Kills a process some time after a number of its lines; returns all whole lines, split.

    A time alone would not do: how far a process comes in it depends on what else the machine does.
    """
    lines = [process.stdout.readline() for _ in range(after_lines)]
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return [line.split() for line in lines if line.endswith("\n")]


def kill_writer(process, after_lines=0, seconds=0.0):
    """Kills it; returns ids that were acknowledged as put, surely retired, and perhaps retired."""
    lines = kill(process, after_lines, seconds)
    ids = {word: {int(i) for w, i in lines if w == word} for word in ("put", "retiring", "retired")}
    return ids["put"], ids["retired"], ids["retiring"] - ids["retired"]


def check_weights(store, model_id):
    """Every layer holds what its owner put into it."""
    owners, layers = store.composition(model_id), store.read(model_id)
    for name, (array,) in layers.items():
        expected = weights_of(owners[name], [name])[name][0]
        np.testing.assert_array_equal(array, expected)


def main():
    folder, next_id, step, notes = sys.argv[1], *map(int, sys.argv[2:])
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
        attributes = {"notes": notes_of(next_id, notes)}
        weights = weights_of(next_id, names)
        store.put(next_id, graph, weights, quality=0.0, donor=donor, attributes=attributes)
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
