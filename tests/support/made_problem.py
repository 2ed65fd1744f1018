"""A problem of any shape, and models of it whose trainings can be compared to the last digits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from parsl_tl.problems import Data, Problem
from parsl_tl.spaces import Head


class Made(Problem):
    """Rows of the shapes that a space needs, with targets that follow from them."""

    name = "made"
    epochs = 3
    batch_size = 16
    objective = "-val_loss"

    def __init__(self, shape: Any, heads: list[Head], seed: int) -> None:
        super().__init__()
        self.input_shape, self.heads, self.seed = shape, heads, seed

    def _load(self) -> Data:
        random = np.random.default_rng(self.seed)
        shapes = self.input_shapes()
        inputs = tuple(random.normal(size=(90, *shape)).astype(np.float32) for shape in shapes)
        sums = [array.reshape(90, -1).mean(axis=1) for array in inputs]
        score = np.sum(sums, axis=0)
        targets = []
        for head in self.heads:
            if head.name == "kind":
                targets.append(np.digitize(score, np.quantile(score, [1 / 3, 2 / 3])))
            else:
                spread = np.ones((90, *head.shape), np.float32) * score.reshape(
                    -1, *[1] * len(head.shape)
                )
                targets.append((spread > 0).astype(np.float32) if head.name == "mask" else spread)
        x = inputs if len(inputs) > 1 else inputs[0]
        y = tuple(targets) if len(targets) > 1 else targets[0]

        def rows(arrays: Any, part: slice) -> Any:
            return tuple(a[part] for a in arrays) if isinstance(arrays, tuple) else arrays[part]

        first, last = slice(0, 60), slice(60, 90)
        return Data(rows(x, first), rows(y, first), rows(x, last), rows(y, last))


def frozen_model(graph: Any, share: float, seed: int) -> keras.Model:
    """Builds a model of which the first layers are frozen, and always with equal weights.

    It computes in float64, in which training has no time to make much of a rounded bit: in float32
    a few steps of a deep network without normalization may make 0.003 of the last bit of a loss.
    """
    keras.utils.set_random_seed(seed)
    model = keras.models.model_from_json(graph.to_json().replace('"float32"', '"float64"'))
    weighted = [layer for layer in model.layers if layer.weights]
    for layer in weighted[: int(share * len(weighted))]:
        layer.trainable = False
    return model
