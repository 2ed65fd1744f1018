"""``parsl-tl data``: files from a server that breaks off, from folders, and made ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from problem_checks import train_one_batch
from range_server import RangeServer, range_server

from parsl_tl.cli import main
from parsl_tl.errors import ProblemError
from parsl_tl.problems import get_problem
from parsl_tl.problems.catalog import DataFile, DataSet, find_data_set
from parsl_tl.problems.download import SUMS, fetch
from parsl_tl.problems.idx_images import IDX_FILES

SIZE = 3_000_000
CONTENT = np.random.default_rng(0).bytes(SIZE)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARSL_TL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name in ("nt_train2.csv", "nt_test2.csv"):
        (folder / name).write_bytes(CONTENT)
    with range_server(folder) as running:
        yield running


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_that_is_killed_goes_on_where_it_was(server: RangeServer, data: Path) -> None:
    server.stop_after = 2_000_000
    command = [sys.executable, "-m", "parsl_tl.cli", "data", "fetch", "nt3"]
    process = subprocess.Popen(
        [*command, "--from", server.address], stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    assert server.stopped.wait(timeout=120)
    partial = data / "nt3" / "nt_train2.csv.partial"
    while not (partial.exists() and partial.stat().st_size >= 1_000_000):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    server.go_on.set()
    assert names(data / "nt3") == ["nt_train2.csv.partial", "nt_train2.csv.partial.json"]
    done = partial.stat().st_size
    assert main(["data", "fetch", "nt3", "--from", server.address]) == 0
    assert server.ranges == [
        ("nt_train2.csv", None),
        ("nt_train2.csv", done),
        ("nt_test2.csv", None),
    ]
    assert names(data / "nt3") == [SUMS, "nt_test2.csv", "nt_train2.csv"]
    assert (data / "nt3" / "nt_train2.csv").read_bytes() == CONTENT
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (data / "nt3" / SUMS).read_text() == (
        f"{digest}  nt_test2.csv\n{digest}  nt_train2.csv\n"
    )


def test_a_connection_that_breaks_off_is_made_anew(server: RangeServer, tmp_path: Path) -> None:
    server.break_off_after = 1_000_000
    fetch(find_data_set("nt3"), tmp_path / "out", server.address)
    assert (tmp_path / "out" / "nt_train2.csv").read_bytes() == CONTENT
    assert [start is None for _, start in server.ranges] == [True, False, True]


def test_another_version_of_the_file_is_fetched_whole(server: RangeServer, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "nt_train2.csv.partial").write_bytes(b"of another version")
    (folder / "nt_train2.csv.partial.json").write_text(
        f'{{"from": "{server.address}nt_train2.csv", "version": "long ago"}}'
    )
    fetch(find_data_set("nt3"), folder, server.address)
    assert (folder / "nt_train2.csv").read_bytes() == CONTENT


def test_files_that_are_there_stay_unless_they_changed(server: RangeServer, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    fetch(find_data_set("nt3"), folder, server.address)
    fetch(find_data_set("nt3"), folder, server.address)
    assert len(server.ranges) == 2
    (folder / "nt_test2.csv").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ProblemError, match=r"nt_test2.csv has the sha256 digest .*fetch it anew"):
        fetch(find_data_set("nt3"), folder, server.address)


def test_a_file_that_is_not_the_published_one_is_refused(server: RangeServer, tmp_path: Path):
    digest = hashlib.sha256(b"something else").hexdigest()
    for file, match in (
        (DataFile("nt_test2.csv", f"sha256:{digest}"), "expected is"),
        (DataFile("nt_test2.csv", size=7), "has 3000000 bytes, the published file 7"),
    ):
        with pytest.raises(ProblemError, match=match):
            fetch(DataSet((file,), server.address), tmp_path / "out")
        assert names(tmp_path / "out") == []


def test_what_is_not_there(server: RangeServer, tmp_path: Path) -> None:
    files = (DataFile("nt_test2.csv"), DataFile("more.csv", optional=True))
    found = fetch(DataSet(files, server.address), tmp_path / "out")
    assert [path.name for path in found] == ["nt_test2.csv"]
    with pytest.raises(ProblemError, match=r"none.csv is not to be had: 404 .*--from"):
        fetch(DataSet((DataFile("none.csv"), *files), server.address), tmp_path / "out")


def test_from_a_folder_and_from_a_file(tmp_path: Path, data: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "top_21_1fold_001.h5").write_bytes(b"x")
    for source in (mirror, mirror / "top_21_1fold_001.h5"):
        assert main(["data", "fetch", "attn", "--from", str(source)]) == 0
        assert names(data / "attn") == [SUMS, "top_21_1fold_001.h5"]
        (data / "attn" / "top_21_1fold_001.h5").unlink()
    with pytest.raises(ProblemError, match=r"there is no nt_train2.csv in .*mirror"):
        fetch(find_data_set("nt3"), tmp_path / "out", str(mirror))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fetch", "mnits"], "no data set 'mnits' to fetch (did you mean 'mnist'?)"),
        (["fetch", "combo"], "published on request; name its place with --from"),
        (["make", "csv", "--rows", "100", "--out", "x"], "nothing to make for 'csv'"),
        (["make", "nt3", "--rows", "10", "--out", "x"], "--rows 10 must be at least 50"),
        (["make", "nt3", "--rows", "99", "--columns", "2", "--out", "x"], "--columns 2 must be"),
        (["make", "nt3", "--rows", "99", "--seed", "-1", "--out", "x"], "--seed is -1"),
        (["make", "mnist", "--rows", "99", "--columns", "50", "--out", "x"], "leave --columns out"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["attn", "cifar10", "combo", "fashion-mnist", "khan", "mnist", "nt3", "uno"]
)
def test_made_data_is_read_and_is_the_same_for_a_seed(name: str, tmp_path: Path) -> None:
    digests = []
    columns = [] if name in ("cifar10", "fashion-mnist", "mnist") else ["--columns", "60"]
    for seed, folder in ((1, "a"), (1, "b"), (2, "c")):
        out = tmp_path / folder
        given = ["--rows", "140", *columns, "--out", str(out), "--seed", str(seed)]
        assert main(["data", "make", name, *given]) == 0
        contents = [path.read_bytes() for path in sorted(out.iterdir())]
        digests.append(hashlib.sha256(b"".join(contents)).digest())
    assert (digests[0] == digests[1], digests[0] == digests[2]) == (True, False)
    place = {"file": str(next((tmp_path / "a").glob("*.h5")))} if name == "attn" else None
    problem = get_problem(name, **(place or {"folder": str(tmp_path / "a")}))
    train_one_batch(problem)


def test_there_is_something_to_learn(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    out = ["--columns", "60", "--out"]
    main(["data", "make", "nt3", "--rows", "200", *out, str(tmp_path / "nt3")])
    nt3 = get_problem("nt3", folder=str(tmp_path / "nt3")).load()
    model = LogisticRegression(max_iter=1000).fit(nt3.x_train[..., 0], nt3.y_train.argmax(1))
    assert model.score(nt3.x_valid[..., 0], nt3.y_valid.argmax(1)) > 0.8
    main(["data", "make", "combo", "--rows", "900", *out, str(tmp_path / "combo")])
    combo = get_problem("combo", folder=str(tmp_path / "combo")).load()
    ridge = Ridge().fit(np.hstack(combo.x_train), combo.y_train[:, 0])
    assert ridge.score(np.hstack(combo.x_valid), combo.y_valid[:, 0]) > 0.4


def test_the_list_tells_what_is_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "mnist").mkdir(parents=True)
    for name in IDX_FILES[:3]:
        (data / "mnist" / f"{name}.gz").write_bytes(b"x")
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    assert "3 of 4" in listed
    assert "nt_train2.csv" in listed
