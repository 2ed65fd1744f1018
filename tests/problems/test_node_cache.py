"""Arrays that the processes of a node share."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_files import kept_by_a_child

from parsl_tl.problems.array_cache import NamedArrays
from parsl_tl.problems.node_cache import NodeCache, node_folder, remove_node_folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"parsl-tl-{os.getuid()}"


def arrays(*numbers, size=1000):
    return NamedArrays({"a": np.array([*numbers, *range(size)], np.int64)}, {"numbers": [*numbers]})


def test_a_runs_folder_is_its_users_and_goes_with_it(place):
    folder = node_folder("run-1")
    assert node_folder("run-1") == folder == place / "run-1"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place, folder)] == [0o700] * 2
    cache = NodeCache(folder / "cache")
    cache.keep("x", arrays(1))
    remove_node_folder("run-1")
    assert not place.exists()
    assert not isinstance(cache.keep("x", arrays(1))["a"], np.memmap)
    assert not place.exists()
    assert node_folder("run-1").exists()


def test_what_a_killed_run_left_goes_with_the_next(place):
    for run in ("dead", "alive"):
        (place / run).mkdir(parents=True, mode=0o700)
        (place / run / "used").touch()
    place.chmod(0o700)
    with open(place / "alive" / "used", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        node_folder("mine")
        assert sorted(path.name for path in place.iterdir()) == ["alive", "mine"]


def test_a_child_does_not_keep_others_waiting(tmp_path):
    path = tmp_path / "cache" / "work.lock"
    with ExitStack() as stack:
        with NodeCache(path.parent).alone("work"):
            stack.enter_context(kept_by_a_child(path))
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_another_users_place_is_refused(place):
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    with pytest.raises(PermissionError, match="TMPDIR"):
        node_folder("run")
    place.rmdir()
    place.symlink_to(place.parent)
    with pytest.raises(PermissionError):
        node_folder("run")


def test_what_is_kept_is_found_mapped_and_what_is_torn_is_not(tmp_path):
    cache = NodeCache(tmp_path / "cache")
    assert cache.find("x") is None
    kept = cache.keep("x", arrays(7))
    assert isinstance(kept["a"], np.memmap)
    found = NodeCache(tmp_path / "cache").find("x")
    np.testing.assert_array_equal(found["a"], arrays(7)["a"])
    assert found.facts == {"numbers": [7]}
    file = tmp_path / "cache" / "x" / "a.npy"
    os.truncate(file, file.stat().st_size - 1)
    assert cache.find("x") is None
    assert cache.keep("x", arrays(8))["a"][0] == 8
    assert cache.find("x")["a"][0] == 8


def test_arrays_stay_mapped_when_they_go(tmp_path):
    cache = NodeCache(tmp_path / "cache", 9000)
    first = cache.keep("first", arrays(1))
    cache.keep("second", arrays(2))
    assert cache.find("first") is None
    np.testing.assert_array_equal(first["a"], arrays(1)["a"])


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["a", "ab", "abc", "b", "c", "d"]), max_size=25))
def test_the_budget_holds_and_the_least_recent_go(steps):
    with tempfile.TemporaryDirectory() as folder:
        cache = NodeCache(Path(folder), 3 * 9000)
        recent: list[str] = []
        for number, name in enumerate(steps):
            if cache.find(name) is None:
                assert name not in recent[-3:]
                cache.keep(name, arrays(number))
            else:
                assert name in recent[-3:]
            recent = [one for one in recent if one != name] + [name]
        assert sum(cache.find(name) is not None for name in set(steps)) == min(3, len(recent))


def test_what_is_larger_than_the_budget_or_cannot_be_written_is_given_back(tmp_path):
    content = arrays(1)
    assert NodeCache(tmp_path / "cache", 100).keep("x", content) is content
    (tmp_path / "file").touch()
    assert NodeCache(tmp_path / "file" / "cache").keep("x", content) is content


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from parsl_tl.problems.array_cache import NamedArrays
from parsl_tl.problems.node_cache import NodeCache
cache = NodeCache(Path(sys.argv[1]), 5 * 8000)
for number in range(150):
    name = str(number % 9)
    found = cache.find(name)
    array = np.full(1000, int(name)) if found is None else found["a"]
    assert (array == int(name)).all(), (name, array)
    if found is None:
        cache.keep(name, NamedArrays({"a": array}))
"""


def test_processes_share_it(tmp_path):
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert sum(path.is_dir() for path in (tmp_path / "cache").iterdir()) <= 5
