"""The TensorFlow runtime of a worker. Each test has a process of its own: settings come first."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow


def run(code: str) -> str:
    # Not in the working directory, where a checkout would hide the installed package.
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=folder
        )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_loads_no_tensorflow() -> None:
    code = """
import sys
import parsl_tl.problems, parsl_tl.transfer, parsl_tl.training
print(sorted({"tensorflow", "keras", "sklearn", "parsl", "deephyper"} & set(sys.modules)))
"""
    assert run(code) == "[]"


def test_threads_are_set_once() -> None:
    code = """
from parsl_tl.training import configure_threads
first = configure_threads(1)
import tensorflow as tf
tf.zeros(1) + 1
again = configure_threads(3)
print(first, again, tf.config.threading.get_intra_op_parallelism_threads())
"""
    assert run(code) == "True False 1"


def test_a_running_tensorflow_is_left_alone() -> None:
    code = """
import tensorflow as tf
tf.zeros(1) + 1
from parsl_tl.training import configure_threads
print(configure_threads(1))
"""
    assert run(code) == "False"


def test_gpu_is_what_the_launcher_gave() -> None:
    code = """
import os
os.environ["CUDA_VISIBLE_DEVICES"] = "3"
from parsl_tl.training.runtime import visible_gpu
print(visible_gpu())
"""
    assert run(code) == "3"
