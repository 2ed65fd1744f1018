"""What was read is kept, once, whole, and as long as its sources stay as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parsl_tl.problems.array_cache import CACHE_FOLDER, LEAST_BYTES, NamedArrays, cached_arrays

WRITER = """
import sys
import numpy as np
from pathlib import Path
from parsl_tl.problems import array_cache

write = array_cache._write_array
def stop_after_the_first(path, array):
    write(path, array)
    print("written", flush=True)
    sys.stdin.read()
array_cache._write_array = stop_after_the_first
result = array_cache.NamedArrays({"a": np.ones(9), "b": np.ones(3)})
array_cache.cached_arrays([Path(sys.argv[1])], "v1", {}, lambda: result)
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARSL_TL_DATA", str(tmp_path / "data"))
    path = tmp_path / "place" / "table.csv"
    path.parent.mkdir()
    path.write_bytes(b"x" * LEAST_BYTES)
    return path


class Reader:
    """Reads, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> NamedArrays:
        self.times += 1
        return NamedArrays({"a": np.arange(6.0).reshape(2, 3)}, {"classes": ["x", "y"]})


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / CACHE_FOLDER).glob("*"))


def test_the_second_time_it_is_mapped(source: Path) -> None:
    read = Reader()
    first = cached_arrays([source], "v1", {"seed": 1}, read)
    again = cached_arrays([source], "v1", {"seed": 1}, read)
    assert read.times == 1
    assert isinstance(again["a"], np.memmap)
    np.testing.assert_array_equal(again["a"], np.arange(6.0).reshape(2, 3))
    assert again.facts == first.facts == {"classes": ["x", "y"]}
    with pytest.raises(ValueError, match="read-only"):
        again["a"][0] = 1


def test_other_arguments_and_versions_have_their_own_entries(source: Path) -> None:
    read = Reader()
    for version, seed in (("v1", 1), ("v1", 2), ("v2", 1), ("v1", 1)):
        cached_arrays([source], version, {"seed": seed}, read)
    assert read.times == len(entries(source.parent)) == 3


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_source_is_read_anew_and_the_old_entry_goes(source: Path, change: str) -> None:
    read = Reader()
    cached_arrays([source], "v1", {}, read)
    (old,) = entries(source.parent)
    if change == "size":
        state = source.stat()
        source.write_bytes(b"x" * (LEAST_BYTES + 1))
        os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        os.utime(source, ns=(0, source.stat().st_mtime_ns + 1))
    cached_arrays([source], "v1", {}, read)
    assert read.times == 2
    (new,) = entries(source.parent)
    assert new != old


def test_small_sources_are_not_kept(source: Path) -> None:
    source.write_bytes(b"x")
    read = Reader()
    cached_arrays([source], "v1", {}, read)
    cached_arrays([source], "v1", {}, read)
    assert read.times == 2
    assert not (source.parent / CACHE_FOLDER).exists()


def test_where_nothing_can_be_written_the_data_folder_has_it(source: Path, tmp_path: Path) -> None:
    (source.parent / CACHE_FOLDER).write_text("in the way, as a folder without rights would be")
    read = Reader()
    cached_arrays([source], "v1", {}, read)
    assert isinstance(cached_arrays([source], "v1", {}, read)["a"], np.memmap)
    assert read.times == 1
    assert len(entries(tmp_path / "data")) == 1


def test_where_nothing_can_be_written_at_all_it_is_said(source: Path, tmp_path: Path) -> None:
    for folder in (source.parent, tmp_path / "data"):
        folder.mkdir(exist_ok=True)
        (folder / CACHE_FOLDER).write_text("in the way")
    with pytest.warns(UserWarning, match=r"cannot be kept .*set PARSL_TL_DATA"):
        found = cached_arrays([source], "v1", {}, Reader())
    assert found["a"].shape == (2, 3)


def test_a_damaged_entry_is_made_anew(source: Path) -> None:
    read = Reader()
    cached_arrays([source], "v1", {}, read)
    (entry,) = (source.parent / CACHE_FOLDER).iterdir()
    (entry / "a.npy").write_bytes(b"\0" * 10)
    np.testing.assert_array_equal(cached_arrays([source], "v1", {}, read)["a"][1], [3, 4, 5])
    assert read.times == 2
    assert isinstance(cached_arrays([source], "v1", {}, read)["a"], np.memmap)
    assert read.times == 2


def test_a_killed_writer_leaves_nothing_half(source: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(source)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"written\n"
    (partial,) = entries(source.parent)
    assert partial.endswith(".partial")
    # One that lives is left alone, and nobody takes what it has written for an entry.
    other = cached_arrays([source], "v1", {"seed": 2}, Reader())
    assert isinstance(other["a"], np.memmap)
    assert partial in entries(source.parent)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    read = Reader()
    cached_arrays([source], "v1", {}, read)
    assert read.times == 1
    assert len(entries(source.parent)) == 2
    assert not [name for name in entries(source.parent) if name.endswith(".partial")]
