"""What every problem with files must do: say its shapes, load, and be trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsl_tl.problems.data import leaves

if TYPE_CHECKING:
    from parsl_tl.problems import Data, Problem


def train_one_batch(problem: Problem) -> dict[str, float]:
    """Trains a small network on a few rows, and returns what it reports, all of it finite."""
    import keras

    data = problem.load()
    shapes = problem.input_shape if isinstance(problem.input_shape, list) else [problem.input_shape]
    inputs = [keras.Input(shape) for shape in shapes]
    flat = [keras.layers.Flatten()(one) for one in inputs]
    body = keras.layers.concatenate(flat) if len(flat) > 1 else flat[0]
    body = keras.layers.Dense(4, activation="relu")(body)
    (units,) = problem.output_shape
    output = keras.layers.Dense(units, activation=problem.output_activation)(body)
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], output)
    model.compile(problem.optimizer, loss=problem.loss, metrics=problem.build_metrics())
    rows = slice(0, 8)
    x = [np.asarray(array[rows]) for array in leaves(data.x_train)]
    logs = model.train_on_batch(
        x if len(x) > 1 else x[0], np.asarray(data.y_train[rows]), return_dict=True
    )
    assert np.isfinite(list(logs.values())).all(), logs
    assert problem.objective.removeprefix("-").removeprefix("val_") in logs
    return {name: float(value) for name, value in logs.items()}


def check_parts(data: Data, *, test: bool) -> None:
    """No row is in two parts."""
    parts = [data.x_train, data.x_valid, *([data.x_test] if test else [])]
    rows = [{row.tobytes() for row in np.asarray(part)} for part in parts]
    assert sum(map(len, rows)) == len(set().union(*rows))
