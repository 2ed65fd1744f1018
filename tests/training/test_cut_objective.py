"""A model that is cut where its frozen prefix ends trains to the objective of the whole one."""

from __future__ import annotations

import numpy as np
import pytest
from built_in_spaces import BUILT_IN
from made_problem import Made, frozen_model

from parsl_tl.errors import ImpossibleArchitectureError
from parsl_tl.spaces import get_space
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.training import BaseTrainer, TrainingConfig
from parsl_tl.training.frozen_prefix import find_frozen_prefix

# One of each kind of layers; all others, and many of each, with --full.
KINDS = ("nt3-small", "uno", "conv-cells", "nasbench201")


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
