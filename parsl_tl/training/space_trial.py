"""Trying a space for a problem: which of its architectures can be built and trained."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from parsl_tl.errors import ImpossibleArchitectureError, NaNLossError, ProblemError, SpaceError
from parsl_tl.problems import Problem
from parsl_tl.spaces import SearchSpace
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.training.compiling import check_outputs, compile_model
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.datasets import for_keras, training_batches
from parsl_tl.training.report import describe
from parsl_tl.training.runtime import configure_threads, release_memory, seed_everything

if TYPE_CHECKING:
    import keras


@dataclass
class SpaceTrial:
    """What became of random architectures of a space.

    Attributes:
        drawn: how many there were.
        built: those that are Keras models with the problem's outputs.
        trained: those that were trained with a batch; or, where a table has the results, looked up.
        impossible: those that cannot exist, by reason; a search draws others in their place.
        failed: those that should exist and could not be built or trained, by reason.
    """

    drawn: int = 0
    built: int = 0
    trained: int = 0
    impossible: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


def try_space(
    problem: Problem,
    space: SearchSpace,
    draws: int = 50,
    *,
    seed: int = 0,
) -> SpaceTrial:
    """Builds random architectures for a problem, and trains each with one batch.

    Args:
        problem: which data goes in, and which outputs come out.
        space: where the architectures are drawn.
        draws: how many.
        seed: of the draws and of the weights.

    Raises:
        ProblemError: the data cannot be loaded.
    """
    configure_threads()
    rng = np.random.default_rng(seed)
    trial = SpaceTrial()
    for _ in range(draws):
        trial.drawn += 1
        arch_seq = random_arch_seq(space, rng)
        try:
            _try(trial, problem, space, arch_seq, seed)
        except ImpossibleArchitectureError as error:
            trial.impossible[error.reason] += 1
        except ProblemError:
            raise
        except Exception as error:  # whatever a space or Keras may raise
            # The text of a space's error names the architecture, its cause does not.
            cause = error.__cause__ if isinstance(error, SpaceError) else None
            trial.failed[describe(cause or error)] += 1
        finally:
            release_memory()
    return trial


def _try(
    trial: SpaceTrial,
    problem: Problem,
    space: SearchSpace,
    arch_seq: Sequence[int],
    seed: int,
) -> None:
    """Counts what becomes of one architecture; raises what is wrong with it."""
    graph = space.build(arch_seq, problem.input_shape, problem.output_heads())
    seed_everything(seed)
    model = graph.to_keras()
    check_outputs(model, problem)
    trial.built += 1
    if problem.look_up(space, arch_seq) is None:
        _train_one_batch(model, TrainingConfig.for_problem(problem, **space.training(arch_seq)))
    trial.trained += 1


def _train_one_batch(model: keras.Model, config: TrainingConfig) -> None:
    """Trains a model with one batch of the problem's data.

    Raises:
        NaNLossError: the loss is not finite.
    """
    problem, data = config.problem, config.problem.load()
    compile_model(model, config, data)
    model.run_eagerly = True  # one step does not pay for tracing a graph
    batches = training_batches(model, problem, data, config.batch_size, config.seed)
    history = model.fit(for_keras(batches), steps_per_epoch=1, shuffle=False, verbose=0).history
    if not math.isfinite(history["loss"][0]):
        raise NaNLossError(f"the loss is {history['loss'][0]} after one batch")
