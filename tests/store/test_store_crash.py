"""kill -9 at any moment, torn tails, and flipped bits."""

import random
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_writer import SPACE, check_weights, kill_writer, start_writer, weights_of

from parsl_tl import open_store
from parsl_tl.errors import StoreCorruptError, StoreError


def check_folder(folder, put, retired, perhaps, unread=frozenset()):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a torn tail is reported, and expected
        store = open_store(f"embedded:{folder}")
    with store:
        living = set(store.models()["model_id"].to_pylist())
        assert put - retired - perhaps <= living
        assert not retired & living
        # At most one more whose answer was never read.
        assert len(living - put - unread) <= 1
        for model_id in living:
            check_weights(store, model_id)
        report = store.verify()
        assert report.ok, report.problems
        files = {path.name for path in Path(folder, "segments").iterdir()}
        assert not [name for name in files if not name.endswith(".seg")]
        assert len(files) == store.stats()["segments"]
    return living


def kill_rounds(folder, rounds, seed):
    rng = random.Random(seed)
    put, retired, perhaps, unread = set(), set(), set(), set()
    for round_number in range(rounds):
        process = start_writer(folder, 1 + round_number * 100_000)
        now = kill_writer(process, rng.randint(0, 8), rng.uniform(0.0, 0.05))
        put, retired, perhaps = put | now[0], retired | now[1], perhaps | now[2]
        living = check_folder(folder, put, retired, perhaps, unread)
        unread |= living - put
        with open_store(f"embedded:{folder}") as store:  # and it goes on being usable
            for model_id in sorted(living)[:-20]:
                store.retire(model_id)
                retired.add(model_id)
    return put


def test_kill_at_random_moments(tmp_path):
    assert len(kill_rounds(tmp_path / "s", 12, seed=1)) > 12


@pytest.mark.slow
@pytest.mark.parametrize("stores", [1, pytest.param(10, marks=pytest.mark.full)])
def test_kill_at_random_moments_many_times(tmp_path, stores):
    # 20 rounds each; over several stores, so that logs stay short to replay.
    for part in range(stores):
        assert len(kill_rounds(tmp_path / f"s{part}", 20, seed=2 + part)) > 20


def test_several_processes_write_at_once_and_one_dies(tmp_path):
    folder = tmp_path / "s"
    processes = [start_writer(folder, first, step=3) for first in (1, 2, 3)]
    results = [kill_writer(processes[0], after_lines=30)]
    with open_store(f"embedded:{folder}") as reader:
        assert len(reader.models()) > 0
    # The others are not held up by the dead one.
    results += [kill_writer(process, after_lines=60) for process in processes[1:]]
    assert all(len(put) > 10 for put, _, _ in results)
    sets = [set().union(*parts) for parts in zip(*results, strict=True)]
    with open_store(f"embedded:{folder}") as store:
        living = set(store.models()["model_id"].to_pylist())
        assert sets[0] - sets[1] - sets[2] <= living
        assert len(living - sets[0]) <= 3
        for model_id in living:
            check_weights(store, model_id)
        assert store.verify().ok


@pytest.fixture
def filled(tmp_path):
    """A store of five models, closed; gives its folder."""
    folder = tmp_path / "filled"
    fill(folder)
    return folder


def fill(folder):
    with open_store(f"embedded:{folder}") as store:
        for model_id in range(1, 6):
            graph = SPACE.build([model_id % 4, 1, 2, 3, 0, 0], (3,), (2,))
            names = [name for name in graph.layer_names if name.startswith("Dense")]
            store.put(model_id, graph, weights_of(model_id, names), quality=model_id)


def test_a_torn_tail_is_cut_off_and_told(filled):
    log = filled / "log"
    data = log.read_bytes()
    log.write_bytes(data[:-40])
    with pytest.warns(RuntimeWarning, match="cut off"):
        store = open_store(f"embedded:{filled}")
    assert store.models()["model_id"].to_pylist() == [1, 2, 3, 4]
    store.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = open_store(f"embedded:{filled}")
    assert not (filled / "segments" / f"{5:016x}.seg").exists()
    store.close()


def test_read_only_passes_over_a_torn_tail_and_changes_nothing(filled):
    log = filled / "log"
    torn = log.read_bytes()[:-40]
    log.write_bytes(torn)
    with (
        pytest.warns(RuntimeWarning, match="passed over"),
        open_store(f"embedded:{filled}", read_only=True) as store,
    ):
        assert len(store) == 4
    assert log.read_bytes() == torn


def test_damage_before_the_end_is_refused_and_nothing_changed(filled):
    log = filled / "log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    files = sorted((filled / "segments").iterdir())
    with pytest.raises(StoreCorruptError, match="damaged"):
        open_store(f"embedded:{filled}")
    assert log.read_bytes() == data
    assert sorted((filled / "segments").iterdir()) == files


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "other"])
def test_a_damaged_segment_is_refused_with_its_models_name(filled, damage):
    segment = filled / "segments" / f"{3:016x}.seg"
    data = bytearray(segment.read_bytes())
    if damage == "flip":
        data[-100] ^= 1
        segment.write_bytes(data)
    elif damage == "cut":
        segment.write_bytes(data[: len(data) // 2])
    elif damage == "missing":
        segment.unlink()
    else:
        segment.write_bytes((filled / "segments" / f"{2:016x}.seg").read_bytes())
    with open_store(f"embedded:{filled}") as store:
        with pytest.raises(StoreCorruptError, match=f"{3:016x}"):
            store.read(3)
        check_weights(store, 2)
        report = store.verify()
        assert not report.ok
        assert all(f"{3:016x}" in problem for problem in report.problems)
        store.retire(3)
        assert store.verify().ok


def test_flipped_bits_in_the_log_never_give_wrong_weights():
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "s"
        fill(folder)
        original = (folder / "log").read_bytes()

        @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.integers(0, len(original) - 1), st.integers(1, 255), st.integers(0, 40))
        def flip(position, mask, cut):
            data = bytearray(original)
            data[position] ^= mask
            (folder / "log").write_bytes(data[: len(data) - cut])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    store = open_store(f"embedded:{folder}", read_only=True)
            except StoreError:
                return
            with store:
                for model_id in store.models()["model_id"].to_pylist():
                    check_weights(store, model_id)

        flip()
