"""The TensorFlow runtime of a worker. Each test has a process of its own: settings come first."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest
from backends import environment_of, has_backend

from parsl_tl.errors import InvalidValueError
from parsl_tl.training.gpu_memory import gpu_megabytes, gpu_share

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
gpus = tf.config.list_physical_devices("GPU")
print(tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"] != bool(gpus))
"""
    assert run(code).split() == ["True", "False", "1", "True"]


def test_one_thread_tells_what_steps_wait_for_apart_from_the_steps() -> None:
    code = """
from parsl_tl.training import configure_threads
configure_threads(1)
import keras, numpy as np, time
from parsl_tl.training import datasets
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.steps import KerasStep
from parsl_tl.training.whole_epochs import whole_epochs
datasets._AT_HAND_BYTES = -1
inputs = keras.Input((8,))
wide = keras.layers.Dense(1500)(keras.layers.Dense(1500)(inputs))
model = keras.Model(inputs, keras.layers.Dense(1)(wide))
model.compile("sgd", "mse")
x, report = np.zeros((800, 8), "f4"), TrainingReport()
made = [datasets.batches(x, x[:, :1], 400) for _ in range(2)]
steps = KerasStep(model, trains=True), KerasStep(model, trains=False)
with whole_epochs(model, steps, *made, report) as fit:
    begun = time.perf_counter()
    fit(0, 8, [])
print(report.seconds_data / (time.perf_counter() - begun))
"""
    assert float(run(code)) < 0.2


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


def test_workers_that_share_a_gpu_take_a_share_of_its_memory(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PARSL_TL_GPU_SHARE", "0.45")
    assert gpu_share() == 0.45
    code = "from parsl_tl.training.backends import set_up_backend; set_up_backend(None)\n"
    show = "import os; print(os.environ['XLA_PYTHON_CLIENT_MEM_FRACTION'])"
    if has_backend("jax"):
        with monkeypatch.context() as jax:
            for name, value in environment_of("jax").items():
                jax.setenv(name, value)
            assert run(code + show) == "0.45"
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert run(code) == ""  # there is no GPU to be limited
    # The GPU is asked for by the name that the launcher gave this process.
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$@" > "$0.asked"; echo 81559\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,")
    assert gpu_megabytes() == 81559
    assert (tmp_path / "nvidia-smi.asked").read_text().endswith("nounits -i 3\n")
    program.write_text("#!/bin/sh\necho no devices\n")
    assert gpu_megabytes() is None


@pytest.mark.parametrize("text", ["0", "1.5", "half", "nan"])
def test_what_is_no_share_of_memory(monkeypatch, text) -> None:
    monkeypatch.setenv("PARSL_TL_GPU_SHARE", text)
    with pytest.raises(InvalidValueError, match="PARSL_TL_GPU_SHARE is"):
        gpu_share()
