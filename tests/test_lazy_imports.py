"""Libraries start without their optional parts, which are there all the same."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from parsl_tl.lazy_imports import load_lazily
load_lazily()
import keras, tensorflow
assert not {"sklearn", "matplotlib"} & sys.modules.keys()
assert keras.wrappers.SKLearnClassifier.__name__ == "SKLearnClassifier"
assert "sklearn" in sys.modules
assert callable(keras.visualization.plot_image_gallery)
assert "matplotlib" in sys.modules
from keras.wrappers import SKLearnRegressor
"""

_PARSL = """
import sys
from parsl_tl.lazy_imports import import_parsl
import_parsl()
assert not {"kubernetes", "sqlalchemy"} & sys.modules.keys()
import kubernetes, sqlalchemy
from parsl.executors.high_throughput import interchange, process_worker_pool
"""


def run(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_optional_parts_of_keras_are_loaded_when_they_are_used():
    pytest.importorskip("tensorflow")
    run(_PROGRAM)


def test_parsl_without_what_drivers_use_of_it():
    pytest.importorskip("kubernetes")
    pytest.importorskip("sqlalchemy")
    run(_PARSL)
