"""A model that is cut where its frozen prefix ends trains to the objective of the whole one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from built_in_spaces import BUILT_IN

from parsl_tl.errors import ImpossibleArchitectureError
from parsl_tl.problems import Data, Problem
from parsl_tl.spaces import Head, get_space
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.training import BaseTrainer, TrainingConfig
from parsl_tl.training.frozen_prefix import find_frozen_prefix

# One of each kind of layers; all others, and many of each, with --full.
KINDS = ("nt3-small", "uno", "conv-cells", "nasbench201")


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


def check_random_cut(kind: str, seed: int) -> bool:
    """Trains a random network with a random frozen share, whole and cut; False if there is none.

    Sums are taken over other batches in the prefix, so that last bits may differ; nothing else
    does: order of rows, dropout and batch statistics are equal.
    """
    random = np.random.default_rng(seed)
    name, arguments, shape, heads = BUILT_IN[kind]
    space = get_space(name, **arguments)
    problem = Made(shape, heads, seed)
    arch_seq = random_arch_seq(space, random)
    try:
        graph = space.build(arch_seq, problem.input_shape, problem.output_heads())
    except ImpossibleArchitectureError:
        return False
    share = random.uniform(0.2, 0.95)
    if find_frozen_prefix(frozen_model(graph, share, seed)) is None:
        return False
    reports = []
    for when in ("off", "always"):
        recipe = TrainingConfig.for_problem(problem, cut_prefix=when, seed=seed)
        trainer = BaseTrainer(recipe, frozen_model(graph, share, seed))
        reports.append(trainer.run())
    whole, cut = reports
    assert (whole.frontier_bytes, whole.best_epoch) == (0, cut.best_epoch)
    assert cut.frontier_bytes > 0
    assert cut.objective == pytest.approx(whole.objective, rel=1e-6, abs=1e-6)
    for one, other in zip(whole.history, cut.history, strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-6)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_random_cut(kind: str) -> None:
    assert any(check_random_cut(kind, seed) for seed in range(20, 30))


@pytest.mark.full
@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("kind", sorted(BUILT_IN))
def test_many_random_cuts_over_all_spaces(kind: str, number: int) -> None:
    first = 1000 + 100 * number
    assert any(check_random_cut(kind, seed) for seed in range(first, first + 100))
