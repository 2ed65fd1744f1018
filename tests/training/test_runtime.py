"""The TensorFlow runtime of a worker. Each test has a process of its own: settings come first."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

from parsl_tl.training import runtime

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


@pytest.mark.parametrize("is_amd", [True, False])
def test_an_amd_gpu_is_filtered_once(monkeypatch, tmp_path, is_amd):
    driver = tmp_path / "kfd"
    if is_amd:
        driver.touch()
    monkeypatch.setattr(runtime, "_AMD_DRIVER", driver)
    names = ("ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    for name in names:
        monkeypatch.setenv(name, "3")
    runtime.filter_gpus_once()
    left = [name for name in names if name in os.environ]
    assert left == (["ROCR_VISIBLE_DEVICES"] if is_amd else list(names))


@pytest.mark.parametrize(
    ("accelerator", "left"),
    [
        ("cuda", {"CUDA_VISIBLE_DEVICES": "1"}),
        ("rocm", {"ROCR_VISIBLE_DEVICES": "1"}),
        ("xpu", {"ZE_AFFINITY_MASK": "1"}),
    ],
)
def test_a_worker_keeps_the_name_that_was_configured(monkeypatch, accelerator, left):
    names = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
    monkeypatch.setenv("PARSL_TL_ACCELERATOR", accelerator)
    monkeypatch.setenv("PARSL_WORKER_RANK", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # what Parsl makes of it
    for name in names:
        monkeypatch.setenv(name, "1")
    runtime.filter_gpus_once()
    assert {
        name: os.environ[name] for name in (*names, "CUDA_VISIBLE_DEVICES") if name in os.environ
    } == left
    assert runtime.visible_gpu() == "1"
