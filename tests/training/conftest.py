"""A module of a user's own, importable by name for as long as a test lasts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = """
import numpy as np

from parsl_tl.problems import Data, Problem


class Interrupted(Problem):
    name = "interrupted"
    input_shape = (2,)
    output_shape = (1,)

    def _load(self):
        raise KeyboardInterrupt


class Exhausting(Interrupted):
    def _load(self):
        raise MemoryError("no room for the data")


class Crowded(Interrupted):
    objective = "-val_loss"

    def _load(self):
        x = np.ones((20, 2), np.float32)
        return Data(x, x[:, :1], x + 1, x[:, :1])

    def callbacks(self):
        import keras
        import tensorflow as tf

        def exhaust(epoch, logs):
            if epoch == 1:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

        return [keras.callbacks.LambdaCallback(on_epoch_begin=exhaust)]


class Known(Interrupted):
    def look_up(self, space, arch_seq):
        return {"objective": sum(arch_seq), "seconds": 12.5, "latency": 7}


class Plain(Interrupted):
    objective = "-val_loss"
    epochs = 1

    def _load(self):
        x = np.random.default_rng(0).random((40, 2), dtype=np.float32)
        y = x.sum(axis=1, keepdims=True)
        return Data(x[:30], y[:30], x[30:], y[30:])
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"user_module_{tmp_path.name}"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    yield name
    sys.modules.pop(name, None)
