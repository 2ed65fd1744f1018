"""Folders that are no store, may not be used, or are full: one clear error, nothing lost."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parsl_tl import open_store
from parsl_tl.errors import InvalidValueError, StoreFormatError, StoreFullError


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(StoreFormatError, match="no parsl_tl store"):
        open_store(f"embedded:{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(StoreFormatError, match="is a file"):
        open_store(f"embedded:{path}")


def test_reading_what_does_not_exist_makes_nothing(tmp_path):
    with pytest.raises(StoreFormatError, match="does not exist"):
        open_store(f"embedded:{tmp_path / 'nope'}", read_only=True)
    assert not (tmp_path / "nope").exists()


def test_a_newer_format_asks_for_a_newer_version(tmp_path):
    open_store(f"embedded:{tmp_path / 's'}").close()
    text = (tmp_path / "s" / "FORMAT").read_text()
    (tmp_path / "s" / "FORMAT").write_text(text.replace("format 3", "format 4"))
    with pytest.raises(StoreFormatError, match="install a newer parsl_tl"):
        open_store(f"embedded:{tmp_path / 's'}")


@pytest.mark.parametrize("part", ["FORMAT", "log", "segments", "lock"])
def test_a_store_that_lost_a_part_is_not_made_anew(tmp_path, tools, part):
    folder = tmp_path / "s"
    graph = tools.graph(1)
    with open_store(f"embedded:{folder}") as store:
        store.put(1, graph, tools.weights(graph), quality=0)
    (folder / part).rename(tmp_path / "lost")
    with pytest.raises(Exception, match=r"missing|no parsl_tl store"):
        open_store(f"embedded:{folder}")
    (tmp_path / "lost").rename(folder / part)
    with open_store(f"embedded:{folder}") as store:
        assert tools.same(store.read(1), tools.weights(graph))


def test_an_interrupted_creation_is_completed(tmp_path):
    folder = tmp_path / "s"
    (folder / "segments").mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "log").write_bytes(b"PTLL")
    with open_store(f"embedded:{folder}") as store:
        assert len(store) == 0


@pytest.mark.parametrize("uri", ["embedded:", "file:/x", "/tmp/x", ""])
def test_uris_that_cannot_be_opened(uri):
    with pytest.raises(InvalidValueError, match="embedded"):
        open_store(uri)


AS_NOBODY = """
import os, sys
from parsl_tl import open_store
from parsl_tl.errors import StorePermissionError
import parsl_tl.store.embedded
os.setgid(65534); os.setuid(65534)
try:
    open_store("embedded:" + sys.argv[1])
except StorePermissionError as error:
    print("refused:", error)
try:
    open_store("embedded:" + sys.argv[1], read_only=True)
except StorePermissionError as error:
    print("not read:", error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
def test_others_neither_read_nor_write_a_store(tools):
    import tempfile

    # Not below pytest's folders, which others may not enter.
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        graph = tools.graph(1)
        with open_store(f"embedded:{base}/s") as store:
            store.put(1, graph, tools.weights(graph), quality=0)
        run = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, f"{base}/s"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "refused: cannot write in" in run.stdout, run.stderr
    assert "not read: " in run.stdout


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs needs rights that this process does not have")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk, tools):
    graph = tools.graph(1)
    name = graph.layer_names[1]
    with open_store(f"embedded:{small_disk / 's'}") as store:
        stored = 0
        with pytest.raises(StoreFullError, match="Free space"):  # noqa: PT012 - which one, is free
            for model_id in range(100):
                store.put(model_id, graph, {name: [np.full(10_000, model_id, "f8")]}, quality=0)
                stored += 1
        assert 5 < stored < 20
        for fill in (stored, stored + 1):  # the record itself, and with it the log's end
            with pytest.raises(StoreFullError):
                store.put(fill, graph, {name: [np.zeros(20_000, "f8")]}, quality=0)
        assert len(store) == stored
    with open_store(f"embedded:{small_disk / 's'}") as store:
        assert len(store) == stored
        for model_id in range(stored):
            assert (store.read(model_id)[name][0] == model_id).all()
        assert store.verify().ok
        store.retire(0)
        store.put(stored, graph, {name: [np.full(9_000, stored, "f8")]}, quality=0)
        assert store.verify().ok


def test_a_log_that_cannot_grow_leaves_no_segment_behind(small_disk, tools):
    graph = tools.graph(1)
    with open_store(f"embedded:{small_disk / 's'}") as store:
        store.put(0, graph, {}, quality=0)
        (small_disk / "ballast").write_bytes(b"")
        with open(small_disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass  # full now, to the last page
        failed = 0
        for model_id in range(1, 200):
            try:
                store.put(model_id, graph, {}, quality=0)
            except StoreFullError:
                failed += 1
        assert failed > 0
        (small_disk / "ballast").unlink()
        count = len(store)
        store.put(1000, graph, {}, quality=0)
    with open_store(f"embedded:{small_disk / 's'}") as store:
        assert len(store) == count + 1
