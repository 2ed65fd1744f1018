"""Keras starts without its optional parts, which are there all the same."""

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


def test_optional_parts_of_keras_are_loaded_when_they_are_used():
    pytest.importorskip("tensorflow")
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
