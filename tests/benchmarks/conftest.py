"""A catalog, queries, and the definition that every way to find prefixes is held to."""

import numpy as np
import pytest
from processes_left import ignore_those_before

from parsl_tl.population.catalog import evolve_catalog, mutated_queries, random_queries


@pytest.fixture(scope="module", autouse=True)
def _own_processes():
    ignore_those_before()


class Oracle:
    """The model whose set of layer keys shares most with the query's, in plain Python."""

    def __init__(self, catalog, model_ids):
        keys = catalog.layer_keys()
        self.models = [
            (set(keys[catalog.layers_of(i)].tolist()), catalog.qualities[i], i)
            for i in range(len(catalog))
        ]
        self.model_ids = model_ids

    def best(self, layer_keys):
        query = set(layer_keys.tolist())
        length, _, index = max((len(query & keys), q, i) for keys, q, i in self.models)
        return (int(self.model_ids[index]), length) if length else None


@pytest.fixture(scope="session")
def catalog():
    return evolve_catalog(2000, seed=1, window=300)


@pytest.fixture(scope="session")
def model_ids(catalog):
    """Ids in no order, so that "the latest" cannot be mistaken for "the highest id"."""
    return np.random.default_rng(5).permutation(len(catalog)).astype(np.uint64) + np.uint64(2**63)


@pytest.fixture(scope="session")
def oracle(catalog, model_ids):
    return Oracle(catalog, model_ids)


@pytest.fixture(scope="session")
def queries(catalog):
    """Random ones, children of members, and early members themselves: 300 in all."""
    return [
        random_queries(100, seed=7),
        mutated_queries(catalog, 150, seed=8, window=2000),
        catalog.head(50),
    ]
