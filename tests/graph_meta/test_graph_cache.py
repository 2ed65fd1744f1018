"""``GraphCache`` on real MPI ranks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from mpi_run import end_ranks, run_ranks, start_ranks

from parsl_tl import longest_common_prefix
from parsl_tl.store.prefix_index import PrefixIndex

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

RANKS = Path(__file__).with_name("ranks.py")


def flatten(graphs):
    starts = np.cumsum([0, *map(len, graphs)], dtype=np.int64)
    return starts, np.concatenate([graph.layer_keys for graph in graphs])


@pytest.fixture(scope="module")
def files(graphs, asked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    for name, some in (("stored", graphs), ("asked", asked)):
        (folder / name).write_text("\n".join(graph.to_json() for graph in some))
    return str(folder / "stored"), str(folder / "asked")


def expected_answers(graphs, asked):
    """Those of one index in one process."""
    index = PrefixIndex()
    ids = np.arange(len(graphs), dtype=np.uint64)
    index.add(ids, *flatten(graphs), ids % 5 / 5, ids)
    found = index.best(*flatten(asked))
    return [
        [int(i), int(n), float(q), longest_common_prefix(graph, graphs[int(i)])] if n else None
        for i, n, q, graph in zip(found.ids, found.lengths, found.qualities, asked, strict=True)
    ]


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
def test_all_ranks_ask_at_once_and_get_the_answers_of_one_index(
    num_ranks, files, graphs, asked, tmp_path
):
    code, out, err = run_ranks(num_ranks, RANKS, "answers", *files, tmp_path / "answers")
    assert code == 0, err
    assert out.count("ok") == num_ranks
    expected = expected_answers(graphs, asked)
    assert any(row and row[1] > 3 for row in expected)
    for rank in range(num_ranks):
        assert json.loads((tmp_path / f"answers.{rank}").read_text()) == expected


def test_one_process_needs_no_mpiexec(files, graphs, asked, tmp_path):
    command = [sys.executable, str(RANKS), "answers", *files, str(tmp_path / "answers")]
    subprocess.run(command, check=True, timeout=60)
    assert json.loads((tmp_path / "answers.0").read_text()) == expected_answers(graphs, asked)


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_that_store_and_ask_without_order_come_to_an_end(num_ranks, files):
    code, out, err = run_ranks(num_ranks, RANKS, "storm", *files)
    assert code == 0, err
    assert out.count("ok") == num_ranks


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_what_is_refused_ends_nobody(num_ranks, files):
    code, out, err = run_ranks(num_ranks, RANKS, "refusals", files[0])
    assert code == 0, err
    assert out.count("ok") == num_ranks


def test_a_rank_that_fails_is_told_to_all():
    code, out, err = run_ranks(3, RANKS, "failure", "a reason")
    assert code != 0
    assert "ok" not in out
    assert err.count("rank 1 failed: ValueError: because of a reason") == 2


def test_idle_ranks_leave_the_cores_to_others():
    code, out, err = run_ranks(3, RANKS, "idle")
    assert code == 0, err
    busy = [float(line.split()[2]) for line in out.splitlines() if line.startswith("busy")]
    assert len(busy) == 3
    assert max(busy) < 1.0  # of the two seconds that they waited


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_rank_that_is_killed_ends_all(number, files):
    process = start_ranks(3, RANKS, "endless", files[0])
    ready = [process.stdout.readline().split()[0] for _ in range(3)]
    assert ready == ["ready"] * 3
    family = psutil.Process(process.pid).children(recursive=True)
    ranks = [child for child in family if RANKS.name in " ".join(child.cmdline())]
    assert len(ranks) == 3
    os.kill(ranks[1].pid, number)
    code, _, _ = end_ranks(process, timeout=60)
    assert code != 0
    deadline = time.monotonic() + 30
    while any(child.is_running() for child in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [child for child in family if child.is_running()] == []
