"""The baselines in Python and Redis against the intersection of key sets."""

import os
from pathlib import Path

import numpy as np
import pytest
from services import needs_redis

from parsl_tl.benchmarks.core import options, servers
from parsl_tl.benchmarks.suites import prefix_methods
from parsl_tl.benchmarks.suites.prefix_methods import make_method, missing_methods
from parsl_tl.errors import BenchmarkError
from parsl_tl.population.catalog import mutated_queries, random_queries

NOWHERE = Path("/nowhere")
needs_networkx = pytest.mark.skipif(
    "networkx" in missing_methods(), reason=missing_methods().get("networkx", "")
)


@needs_networkx
def test_networkx_walks_find_the_model_of_the_set_intersection(catalog, model_ids, oracle):
    head = catalog.head(250)
    walk = make_method("networkx", NOWHERE)
    walk.add(head, model_ids[:250])
    small = type(oracle)(head, model_ids)
    for queries in (mutated_queries(head, 20, seed=4), random_queries(20, seed=4), head.head(5)):
        keys = queries.layer_keys()
        for index in range(len(queries)):
            layers = queries.layers_of(index)
            found = walk.ask(queries.layer_digests[layers], queries.edges[queries.edges_of(index)])
            assert found == small.best(keys[layers])


@needs_networkx
def test_networkx_without_a_common_layer_finds_nothing():
    walk = make_method("networkx", NOWHERE)
    no_edges = np.empty((0, 2), np.uint32)
    walk._models.append((1, 0.0, walk._graph(np.array([1], np.uint64), no_edges)))
    assert walk.ask(np.array([2], np.uint64), no_edges) is None
    # Twice the same input is one edge of a DiGraph, but not the same as once.
    twice = np.array([[0, 1], [0, 1]], np.uint32)
    walk._models.append((2, 0.0, walk._graph(np.array([1, 5], np.uint64), twice)))
    assert walk.ask(np.array([1, 5], np.uint64), np.array([[0, 1]], np.uint32)) == (2, 1)


@needs_redis
def test_redis_finds_the_model_of_the_set_intersection(
    catalog, model_ids, oracle, queries, monkeypatch
):
    monkeypatch.setattr(prefix_methods, "_BATCH", 300)
    keys = catalog.layer_keys()
    with make_method("redis", NOWHERE) as store:
        assert store.ask(keys[:5]) is None
        # In two parts: the second is numbered behind the first.
        first = catalog.head(700)
        store.add(first, model_ids[:700])
        store.add(catalog.part(700, len(catalog)), model_ids[700:])
        for group in queries:
            own = group.layer_keys()
            for index in range(0, len(group), 5):
                layer_keys = own[group.layers_of(index)]
                assert store.ask(layer_keys) == oracle.best(layer_keys)
        assert store.ask(np.array([1, 2], np.uint64)) is None


@needs_redis
def test_the_server_ends_with_the_block_and_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []

    def fail():
        with make_method("redis", NOWHERE) as store:
            process = Path(f"/proc/{store.server.pid}")
            seen.extend([store, process, process.exists()])
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    store, process, existed = seen
    assert existed
    assert not process.exists()
    assert store.server.pid is None
    assert list(tmp_path.iterdir()) == []


@needs_redis
def test_a_server_that_does_not_start_is_told(tmp_path, monkeypatch):
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BenchmarkError, match="exit status 3"), make_method("redis", NOWHERE):
        pass


def test_missing_programs_are_told_in_one_line(monkeypatch):
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    with pytest.raises(BenchmarkError, match="redis-server is not installed"):
        make_method("redis", NOWHERE)
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match="networkx is not installed"):
        make_method("networkx", NOWHERE)
