"""Large data that the processes of a node map, and do not hold each."""

from __future__ import annotations

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from parsl_tl.errors import ProblemError
from parsl_tl.problems import Data
from parsl_tl.problems.data import leaves
from parsl_tl.problems.node_cache import NodeCache
from parsl_tl.problems.shared_data import SharedData


def large(value=1.0, rows=6, **others):
    x = np.full((rows, 3), value, np.float32)
    y = np.arange(rows, dtype=np.int32)
    return Data(x[2:], y[2:], x[:2], y[:2], **others)


def shared(tmp_path, least_bytes=10, identity="mine"):
    return SharedData(NodeCache(tmp_path / "data"), least_bytes, identity)


SHAPES = {
    "one": lambda: large(),
    "tested": lambda: large(x_test=np.ones((1, 3)), y_test=np.ones(1, np.int32)),
    "weighted": lambda: large(weights_train=np.arange(4.0), class_weights={0: 1.5, 1: 2.0}),
    "several": lambda: Data(
        {"b": np.ones((3, 2)), "a": np.zeros((3, 4), np.uint8)},
        (np.ones(3), np.zeros((3, 2))),
        {"b": np.ones((1, 2)), "a": np.zeros((1, 4), np.uint8)},
        (np.ones(1), np.zeros((1, 2))),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_mapped_is_what_was_loaded(tmp_path, shape):
    made = SHAPES[shape]()
    first = shared(tmp_path).load(SHAPES[shape])
    second = shared(tmp_path).load(lambda: pytest.fail("it is there"))
    for data in (first, second):
        assert isinstance(leaves(data.x_train)[0], np.memmap)
        assert data.class_weights == made.class_weights
        for name in ("x_train", "y_train", "x_valid", "y_valid", "x_test", "weights_train"):
            one, other = getattr(made, name), getattr(data, name)
            assert type(one) is type(other) or isinstance(other, np.memmap)
            if isinstance(one, dict):
                assert list(one) == list(other)
            if one is None:
                continue
            for own, kept in zip(leaves(one), leaves(other), strict=True):
                assert own.dtype == kept.dtype
                np.testing.assert_array_equal(own, kept)


def test_small_and_other_data_is_loaded_by_each(tmp_path):
    for _ in range(2):
        data = shared(tmp_path, 10**6).load(large)
        assert not isinstance(data.x_train, np.memmap)
    assert shared(tmp_path, identity="other").load(lambda: large(2.0)).x_train[0, 0] == 2.0
    odd = np.ones((2, 3), ml_dtypes.bfloat16)  # which a .npy file does not tell
    data = shared(tmp_path, identity="odd").load(lambda: Data(odd, odd, odd, odd))
    assert data.x_train.dtype == ml_dtypes.bfloat16


def test_an_error_passes_and_the_next_one_tries_again(tmp_path):
    def fail():
        raise ProblemError("no such file")

    with pytest.raises(ProblemError, match="no such file"):
        shared(tmp_path).load(fail)
    assert isinstance(shared(tmp_path).load(large).x_train, np.memmap)


def test_without_a_place_everyone_loads(tmp_path):
    (tmp_path / "data").touch()
    assert shared(tmp_path).load(large).x_train[0, 0] == 1.0


_READER = """
import json, sys, time
from pathlib import Path
import numpy as np
from parsl_tl.problems import Data
from parsl_tl.problems.node_cache import NodeCache
from parsl_tl.problems.shared_data import SharedData

def load():
    print(json.dumps("loads"), flush=True)
    x = np.random.default_rng(0).random((64_000, 256), np.float32)  # 64 MB
    return Data(x[:60_000], x[:60_000, 0], x[60_000:], x[60_000:, 0])

def private():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private"))

before = private()
data = SharedData(NodeCache(Path(sys.argv[1])), 10**6, "large").load(load)
order = np.random.default_rng(1).permutation(len(data.x_train)).reshape(-1, 500)
total = sum(float(data.x_train[rows].sum()) for rows in order)
print(json.dumps(total), flush=True)
sys.stdin.readline()  # until all have read it: what one alone has mapped counts as private
print(json.dumps(private() - before), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_processes_hold_one_copy_between_them(tmp_path):
    command = [sys.executable, "-c", _READER, str(tmp_path / "data")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(3)]
    said = []
    for process in running:
        lines = [json.loads(process.stdout.readline())]
        if lines == ["loads"]:
            lines.append(json.loads(process.stdout.readline()))
        said.append(lines)
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    kilobytes = [json.loads(process.stdout.readline()) for process in running]
    for process in running:
        process.communicate(timeout=60)
    assert sorted(len(lines) for lines in said) == [1, 1, 2]  # one has loaded it
    assert len({lines[-1] for lines in said}) == 1
    assert max(kilobytes) < 20_000
