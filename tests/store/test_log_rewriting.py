"""The log is written anew by itself, and nobody who dies or works meanwhile loses anything.

What a death at each single step leaves is tested in C++ (test_log_rewriting.cpp).
"""

import contextlib
import random
import time
import warnings

import pytest
from store_writer import check_weights, kill_writer, notes_of, start_writer

from parsl_tl import open_store
from parsl_tl.errors import ModelNotFoundError

# Sixteen megabytes, from which on a log is written anew, are few models.
NOTES = 500_000
DEADLINE_SECONDS = 120


def wait_for_rewriting(folder):
    """Waits until the log is about to be written anew, is at it, or has just been."""
    log = (folder / "log").stat().st_ino
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (folder / "log").stat().st_ino == log and not list((folder / "tmp").glob("tmp-log-*")):
        assert time.monotonic() < deadline, "the log is not written anew"
        time.sleep(0.0005)


def wait_for_clean_up(folder):
    """Waits until no temporary file is left: the store that is open may be writing its log anew."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while left := list((folder / "tmp").iterdir()):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def check_model(store, model_id, sizes):
    check_weights(store, model_id)
    notes = store.info(model_id)["attributes"]["notes"]
    assert notes in [notes_of(model_id, size) for size in sizes]


def kill_while_log_is_rewritten(folder, rounds, seed):
    """One process after the other is killed then, while another writes and this one reads."""
    rng = random.Random(seed)
    other = start_writer(folder, 1, step=2)
    put, retired, perhaps = set(), set(), set()
    logs = set()
    with open_store(f"embedded:{folder}", read_only=True) as reader:
        for number in range(rounds):
            process = start_writer(folder, 2 + number * 100_000, step=2, notes=NOTES)
            wait_for_rewriting(folder)
            time.sleep(rng.uniform(0.0, 0.05))
            now = kill_writer(process)
            put, retired, perhaps = put | now[0], retired | now[1], perhaps | now[2]
            living = set(reader.models()["model_id"].to_pylist())
            assert put - retired - perhaps <= living
            assert not living & retired
            for model_id in living:
                with contextlib.suppress(ModelNotFoundError):  # the other writer retired it
                    check_model(reader, model_id, (0, NOTES))
            logs.add((folder / "log").stat().st_ino)
            assert other.poll() is None
    now = kill_writer(other)
    return put | now[0], retired | now[1], perhaps | now[2], len(logs)


@pytest.mark.slow
def test_kill_while_the_log_is_rewritten(tmp_path):
    folder = tmp_path / "s"
    put, retired, perhaps, logs = kill_while_log_is_rewritten(folder, 6, seed=1)
    assert logs > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a torn tail is reported, and expected
        store = open_store(f"embedded:{folder}")
    with store:
        living = set(store.models()["model_id"].to_pylist())
        assert put - retired - perhaps <= living
        assert not living & retired
        assert len(living - put) <= 7  # one of each process, whose answer was never read
        for model_id in living:
            check_model(store, model_id, (0, NOTES))
        report = store.verify()
        assert report.ok, report.problems
        wait_for_clean_up(folder)
        store.compact()
        assert set(store.models()["model_id"].to_pylist()) == living
        for model_id in living:
            check_model(store, model_id, (0, NOTES))
