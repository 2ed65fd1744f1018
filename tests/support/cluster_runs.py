"""What tests of store servers on nodes do in workers, and how they find processes."""

import time

import psutil


def processes(*words):
    """Returns the processes whose command lines have all the words."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if all(word in line for word in words):
            found.append(process)
    return found


def wait_until(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


def put_model(uri, model_id):
    """Stores a model from a worker; gives the worker's block."""
    import os

    import numpy as np

    from parsl_tl.spaces import get_space
    from parsl_tl.transfer.connections import connect

    graph = get_space("feed-forward", num_layers=1, units=(2, 4, 1)).build([1], (3,), (2,))
    weights = {name: [np.full((3, 4), model_id, "f4")] for name in graph.layer_names[1:]}
    connect(uri).put(model_id, graph, weights, quality=0.5)
    return os.environ["PARSL_WORKER_BLOCK_ID"]


def nap(seconds):
    import time

    time.sleep(seconds)
    return True
