"""Small real graphs and weights for the store's tests."""

import numpy as np
import pytest

from parsl_tl import open_store
from parsl_tl.spaces import get_space

SPACE = get_space("feed-forward", num_layers=6, units=(2, 4, 1), activations=["relu"])


def make_graph(*arch):
    """A feed-forward graph; each decision is 0 (no layer) or 1 to 3 (a width)."""
    return SPACE.build([*arch, *[0] * (6 - len(arch))], (3,), (2,))


def make_weights(graph, value=0.0, names=None):
    """Random kernels and biases of every dense layer, by stable name."""
    rng = np.random.default_rng(int(value * 1000) % 2**32)
    weights = {}
    width = 3
    for name, layer in zip(graph.layer_names, graph.layers, strict=True):
        if layer.class_name == "Dense":
            units = layer.config["units"]
            arrays = [rng.normal(size=(width, units)).astype("f4"), np.full(units, value, "f4")]
            width = units
            if names is None or name in names:
                weights[name] = arrays
    return weights


def same(read, expected):
    """Tells whether two mappings of arrays are equal byte for byte."""
    return set(read) == set(expected) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for name in expected
        for a, b in zip(read[name], expected[name], strict=True)
    )


@pytest.fixture(params=["embedded"])
def uri(request, tmp_path):
    """One URI for each way to reach a store."""
    return f"embedded:{tmp_path / 'store'}"


@pytest.fixture
def store(uri):
    with open_store(uri) as opened:
        yield opened


@pytest.fixture
def tools():
    """The helpers of this file, for test modules."""

    class Tools:
        graph = staticmethod(make_graph)
        weights = staticmethod(make_weights)
        same = staticmethod(same)

    return Tools
