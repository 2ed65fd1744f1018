"""Reading into the caller's arrays, and reading while others change the store."""

import gc
import subprocess
import sys
import threading

import ml_dtypes
import numpy as np
import pytest

from parsl_tl import open_store
from parsl_tl.errors import InvalidValueError, ModelNotFoundError

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow


@pytest.fixture(params=["none", "zstd"])
def filled(request, tmp_path, tools):
    """A store of one model with arrays of all sorts: (store, graph, weights)."""
    graph = tools.graph(1, 2, 3)
    names = [name for name in graph.layer_names if name.startswith("Dense")]
    rng = np.random.default_rng(5)
    weights = {
        names[0]: [rng.normal(size=(60, 50)).astype("f4"), np.ones(500, "f4")],
        names[1]: [np.array(2.5), np.empty((0, 4), "f2")],
        names[2]: [rng.normal(size=(9, 9, 9)).astype(ml_dtypes.bfloat16), np.array([True, False])],
        names[3]: [np.arange(3, dtype="i8")],
    }
    with open_store(f"embedded:{tmp_path / 's'}", compression=request.param) as store:
        store.put(1, graph, weights, quality=0)
        yield store, graph, weights


def like(weights, fill=0):
    return {n: [np.full(a.shape, fill, a.dtype) for a in arrays] for n, arrays in weights.items()}


def test_the_same_arrays_come_back_filled(filled, tools):
    store, _, weights = filled
    out = like(weights)
    read = store.read(1, out=out)
    assert tools.same(out, weights)
    assert list(read) == list(weights)
    assert all(a is b for name in out for a, b in zip(read[name], out[name], strict=True))
    assert all(array.flags.writeable for arrays in out.values() for array in arrays)
    out[next(iter(out))][0][...] = 1  # ours, and not the store's
    assert tools.same(store.read(1), weights)


def test_only_the_layers_asked_for_are_touched(filled, tools):
    store, _, weights = filled
    name, *others = weights
    out = like(weights, fill=1)
    read = store.read(1, [name], out=out)
    assert list(read) == [name]
    assert tools.same({name: out[name]}, {name: weights[name]})
    untouched = like(weights, fill=1)
    assert all(tools.same({n: out[n]}, {n: untouched[n]}) for n in others)
    store.read(1, [name], out={name: tuple(out[name])})  # any sequence will do


def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    return wide[..., ::2]


@pytest.mark.parametrize("make", [np.asfortranarray, strided, lambda a: a[::-1][::-1]])
def test_arrays_in_any_order(filled, make):
    store, _, weights = filled
    for name in (next(iter(weights)), list(weights)[2]):
        out = [make(np.zeros_like(array)) for array in weights[name]]
        store.read(1, [name], out={name: out})
        for given, stored in zip(out, weights[name], strict=True):
            np.testing.assert_array_equal(given, stored)


def test_a_slice_of_a_larger_array(filled):
    store, _, weights = filled
    name = next(iter(weights))
    large = np.full((100, 100), 7, "f4")
    store.read(1, [name], out={name: [large[20:80, 30:80], np.empty(500, "f4")]})
    np.testing.assert_array_equal(large[20:80, 30:80], weights[name][0])
    assert (large[:20] == 7).all()
    assert (large[80:] == 7).all()
    assert (large[:, :30] == 7).all()
    assert (large[:, 80:] == 7).all()


WRONG = {
    "shape": lambda arrays: [arrays[0].T, *arrays[1:]],
    "one more dimension": lambda arrays: [arrays[0][None], *arrays[1:]],
    "dtype": lambda arrays: [arrays[0].astype("f8"), *arrays[1:]],
    "byte order": lambda arrays: [arrays[0].astype(">f4"), *arrays[1:]],
    "too few": lambda arrays: arrays[:1],
    "too many": lambda arrays: [*arrays, arrays[0]],
    "none": lambda arrays: [],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_arrays_that_do_not_fit_are_refused_untouched(filled, wrong):
    store, _, weights = filled
    name = next(iter(weights))
    out = WRONG[wrong](like(weights)[name])
    with pytest.raises(InvalidValueError, match=rf"out\['{name}'\].*store.shapes"):
        store.read(1, [name], out={name: out})
    assert not any(array.astype("f8").any() for array in out)


def test_a_layer_without_arrays_is_named(filled):
    store, _, weights = filled
    out = like(weights)
    missing = next(iter(weights))
    del out[missing]
    with pytest.raises(InvalidValueError, match=missing):
        store.read(1, out=out)
    assert not any(array.astype("f8").any() for arrays in out.values() for array in arrays)
    with pytest.raises(InvalidValueError, match="no layer 'Dense_nope'"):
        store.read(1, ["Dense_nope"], out={"Dense_nope": []})
    with pytest.raises(ModelNotFoundError):
        store.read(2, out=out)


def test_nothing_is_written_if_a_later_layer_does_not_fit(filled):
    store, _, weights = filled
    out = like(weights)
    out[list(weights)[-1]] = []
    with pytest.raises(InvalidValueError):
        store.read(1, out=out)
    assert not any(array.astype("f8").any() for arrays in out.values() for array in arrays)


def test_arrays_that_cannot_be_written_are_refused(filled):
    store, _, weights = filled
    name = next(iter(weights))
    out = like(weights)[name]
    out[0].flags.writeable = False
    with pytest.raises(InvalidValueError, match=name):
        store.read(1, [name], out={name: out})


def test_shapes_tell_what_to_allocate(filled, tools):
    store, _, weights = filled
    out = {
        name: [
            np.empty(shape, ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
            for shape, dtype in tensors
        ]
        for name, tensors in store.shapes(1).items()
    }
    assert tools.same(store.read(1, out=out), weights)


def test_two_read_while_a_third_puts_and_retires(tmp_path, tools):
    graph = tools.graph(1, 2, 3)
    names = [name for name in graph.layer_names if name.startswith("Dense")]

    def weights_of(model_id):
        return {name: [np.full(3000, model_id, "f8")] for name in names}

    failures, reads, stop = [], [0, 0], threading.Event()
    with open_store(f"embedded:{tmp_path / 's'}") as store:
        store.put(0, graph, weights_of(0), quality=0)

        def read(which):
            out = like(weights_of(0))
            try:
                while not stop.is_set():
                    match = store.find_donor(graph)
                    if which == 0:
                        found = store.read(match.model_id, out=out)
                    else:
                        found = store.read(match.model_id)
                    for arrays in found.values():
                        assert (arrays[0] == match.model_id).all()
                    reads[which] += 1
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=read, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        model_id = 0
        while model_id < 150 or (min(reads) < 50 and not failures):
            model_id += 1
            store.put(model_id, graph, weights_of(model_id), quality=model_id)
            store.retire(model_id - 1)
            if model_id % 40 == 0:
                store.compact()
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert store.verify().ok


RETIRE = """
import sys
from parsl_tl import open_store
with open_store("embedded:" + sys.argv[1]) as store:
    for model_id in sys.argv[2:]:
        store.retire(int(model_id))
    store.compact()
    print(len(store), len(list(store.models())))
"""


def test_a_match_outlives_retirement_and_compaction_by_another_process(filled, tmp_path, tools):
    store, graph, weights = filled
    store.put(2, graph, {}, quality=1, donor=1)  # its layers are another's
    child, parent = store.find_donor(graph), store.find_donor(graph, exclude=[2])
    assert (child.model_id, parent.model_id) == (2, 1)
    run = subprocess.run(
        [sys.executable, "-c", RETIRE, str(tmp_path / "s"), "1", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("0 ")
    assert list((tmp_path / "s" / "segments").iterdir()) == []
    assert len(store) == 0
    for match in (child, parent):
        out = like(weights)
        assert tools.same(store.read(match.model_id), weights)
        assert tools.same(store.read(match.model_id, out=out), weights)
        assert store.shapes(match.model_id)
    with pytest.raises(ModelNotFoundError):
        store.info(1)
    del child, match
    gc.collect()
    assert tools.same(store.read(1), weights)
    with pytest.raises(ModelNotFoundError):
        store.read(2)
    del parent
    gc.collect()
    with pytest.raises(ModelNotFoundError):
        store.read(1)


def test_every_match_keeps_its_weights(uri, tools):
    graph = tools.graph(1, 2, 3)
    weights = tools.weights(graph)
    lost = 0
    options = {"compression": "zstd"} if uri.startswith("embedded:") else {}
    with open_store(uri, **options) as store:
        for model_id in range(2000 if options else 300):
            store.put(model_id, graph, weights, quality=0)
            barrier, matches = threading.Barrier(3), []

            def ask(barrier=barrier, matches=matches):
                barrier.wait()
                matches.append(store.find_donor(graph))

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            store.retire(model_id)
            match = matches[model_id % 3]
            matches.clear()
            try:
                store.read(match.model_id)
            except ModelNotFoundError:
                lost += 1
                break
            finally:
                del match
    assert lost == 0


def test_who_was_retired_is_not_remembered(store, tools):
    """However many read it at once just before."""
    graph = tools.graph(1, 2, 3)
    weights = tools.weights(graph)
    for model_id in range(300):
        store.put(model_id, graph, weights, quality=0)
        barrier = threading.Barrier(3)

        def ask(barrier=barrier, model_id=model_id):
            barrier.wait()
            store.read(model_id)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.retire(model_id)
        with pytest.raises(ModelNotFoundError):
            store.read(model_id)
