"""Small real graphs and weights for the store's tests."""

import numpy as np
import pytest
import small_disk as disks
from server_farm import Farm
from store_population import REAL, put_population
from store_servers import SCHEMES

from parsl_tl import open_store
from parsl_tl.spaces import get_space
from parsl_tl.store.remote import RemoteStore

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


# How a store is reached: in this process, or by a number of servers of a transport, whose files are
# mapped where they are on this machine, or not.
WAYS = ["embedded", "flight-2-fetched"]
SLOW_WAYS = ["flight-1-mapped", "flight-2-mapped"]
if "thallium" in SCHEMES:
    SLOW_WAYS += ["thallium-1-mapped", "thallium-1-fetched", "thallium-2-fetched"]


@pytest.fixture(scope="session")
def farm():
    """Another process, which runs servers."""
    with Farm() as started:
        yield started


@pytest.fixture(params=[*WAYS, *(pytest.param(way, marks=pytest.mark.slow) for way in SLOW_WAYS)])
def uri(request, tmp_path, monkeypatch):
    """One URI for each way to reach a store."""
    if request.param == "embedded":
        yield f"embedded:{tmp_path / 'store'}"
        return
    kind, count, reading = request.param.split("-")
    monkeypatch.setitem(RemoteStore.__init__.__kwdefaults__, "maps_segments", reading == "mapped")
    farm = request.getfixturevalue("farm")
    yield " ".join(farm.start(SCHEMES[kind], tmp_path / f"server{i}") for i in range(int(count)))
    farm.close_all()


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


@pytest.fixture
def folded(tmp_path, tools):
    """A store with a snapshot in which no section is empty: (folder, ids in order)."""
    folder = tmp_path / "folded"
    graph = tools.graph(1, 2)
    with open_store(f"embedded:{folder}") as store:
        store.put(REAL, graph, tools.weights(graph), quality=0.5, attributes={"a": 1})
        store.put(REAL + 1, graph, {}, quality=0.25, donor=REAL, parent=REAL)
        store.put(REAL + 2, tools.graph(3), tools.weights(tools.graph(3)), quality=0.75)
        put_population(store, range(50))
        store.retire(7)
        store.fold()
        assert store.stats()["changes_since_snapshot"] == 0
    return folder, [REAL, REAL + 1, REAL + 2, *(i for i in range(50) if i != 7)]


@pytest.fixture
def small_disk(tmp_path, request):
    """A file system of so many megabytes (indirect parametrization)."""
    with disks.small_disk(tmp_path / "small", request.param) as folder:
        yield folder
