"""Folders that are no store or may not be used: one clear error, nothing lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parsl_tl import open_store
from parsl_tl.errors import InvalidValueError, StoreFormatError


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


@pytest.mark.parametrize("uri", ["embedded:", "file:/x", "/nowhere/x", ""])
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
