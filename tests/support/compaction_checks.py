"""What a store holds, on the disk and for its readers, before and after compaction."""

import numpy as np

from parsl_tl.architecture import longest_common_prefix


def dense(graph):
    return [name for name in graph.layer_names if name.startswith("Dense")]


def contents(store):
    """Everything of every model, as bytes."""
    return {
        model_id: {
            name: [array.tobytes() for array in arrays]
            for name, arrays in store.read(model_id).items()
        }
        for model_id in store.models()["model_id"].to_pylist()
    }


def segment_bytes(folder):
    return sum(path.stat().st_size for path in (folder / "segments").iterdir())


def all_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check(store, folder):
    """The store is whole, and what it says of its files is what they are."""
    report = store.verify()
    assert report.ok, report.problems
    stats = store.stats()
    assert stats["bytes_segments"] == segment_bytes(folder)
    assert stats["segments"] == len(list((folder / "segments").iterdir()))
    assert list((folder / "tmp").iterdir()) == []


def put_pairs(store, tools, count, size=20_000):
    """Owners of three layers, and for each a child that holds the first; the owners retire."""
    parent, child = tools.graph(1, 2, 3), tools.graph(1, 1)
    for i in range(count):
        weights = {name: [np.full(size, i + 0.5, "f4")] for name in dense(parent)}
        store.put(2 * i, parent, weights, quality=i)
        shared = longest_common_prefix(parent, child)
        own = {name: [np.full(10, i, "f4")] for name in dense(child) if name not in shared}
        store.put(2 * i + 1, child, own, quality=i, donor=2 * i, parent=2 * i)
    for i in range(count):
        store.retire(2 * i)
