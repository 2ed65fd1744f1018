"""What the tests run on several ranks: ``mpiexec -n N python ranks.py WHAT ...``.

Prints ``ok RANK`` where a rank comes to its end.
"""

import json
import sys
import time

import numpy as np
import pytest
from mpi4py import MPI

from parsl_tl import ArchitectureGraph
from parsl_tl.errors import ArchitectureError, ModelExistsError
from parsl_tl.graph_meta import GraphCache

COMM = MPI.COMM_WORLD


def say(*words):
    # In one write: ranks share the pipe.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def read(path):
    with open(path) as file:
        return [line.strip() for line in file]


def quality_of(number):
    return number % 5 / 5


def store(cache, lines):
    """Every rank stores its own; one by one and all at once, as graphs and as text."""
    mine = list(range(cache.rank, len(lines), cache.size))
    half = len(mine) // 2
    for number in mine[:half]:
        graph = ArchitectureGraph.from_json(lines[number])
        cache.add_graph(graph, quality=quality_of(number), model_id=number)
    rest = mine[half:]
    qualities = [quality_of(number) for number in rest]
    cache.add_graphs([lines[n] for n in rest], qualities=qualities, model_ids=rest)


def answers(stored, asked, out):
    """All ranks ask everything at once; rank 0 leaves the answers behind."""
    with GraphCache() as cache:
        store(cache, read(stored))
        cache.serve()
        queries = read(asked)
        found = [cache.reduce_query(query) for query in queries]
        again = cache.reduce_queries(queries)
        assert found == again
        assert cache.num_graphs() == len(read(stored))
        rows = [m and [m.model_id, m.length, m.quality, m.layer_names] for m in found]
        with open(f"{out}.{cache.rank}", "w") as file:
            json.dump(rows, file)
    say("ok", COMM.rank)


def storm(stored, asked):
    """Ranks store and ask without order, much and little, and end at different times."""
    lines, queries = read(stored), read(asked)
    graphs = [ArchitectureGraph.from_json(line) for line in lines]
    rng = np.random.default_rng(COMM.rank)
    with GraphCache() as cache:
        for turn in range(8 * (COMM.rank + 1)):
            if rng.random() < 0.3:
                cache.add_graphs(graphs)
            size = int(rng.choice([1, 5, len(queries)]))
            matches = cache.reduce_queries(queries[:size])
            if turn > 0 and cache.num_local:
                assert all(match is not None for match in matches)
    say("ok", COMM.rank)


def refusals(stored):
    """An error goes to who asked; all go on."""
    line = read(stored)[0]
    with GraphCache() as cache:
        cache.serve()
        if cache.rank == cache.size - 1:
            cache.add_graph(line, model_id=0)
            for wrong in ("{}", "[]", line[:-9]):
                with pytest.raises(ArchitectureError):
                    cache.reduce_query(wrong)
            with pytest.raises(ModelExistsError, match="0000000000000000"):
                cache.add_graphs([line, line], model_ids=[0, 1])
        cache.serve()
        assert cache.reduce_query(line).length == len(ArchitectureGraph.from_json(line))
        assert cache.reduce_query(line).model_id in (0, 1)
    say("ok", COMM.rank)


def failure(how):
    """Rank 1 leaves its ``with`` by an error while the others wait for it."""
    with GraphCache() as cache:
        cache.serve()
        if cache.rank == 1:
            raise ValueError(f"because of {how}")
        cache.serve()
    say("ok", COMM.rank)


def idle():
    """Nobody asks anything; the cores stay free."""
    with GraphCache() as cache:
        if cache.rank == 0:
            time.sleep(2)
        before = time.process_time()
        cache.serve()
        say("busy", cache.rank, time.process_time() - before)
    say("ok", COMM.rank)


def endless(stored):
    """Asks until it is killed."""
    with GraphCache() as cache:
        store(cache, read(stored))
        cache.serve()
        say("ready", COMM.rank)
        while True:
            cache.reduce_query(read(stored)[0])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
