"""The model that is fitted, and the batches that it is fitted with and judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from parsl_tl.problems import Data
from parsl_tl.problems.data import is_stream, leaves
from parsl_tl.training.compiling import set_dtype_policy
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.cutting import are_indifferent, cut_where_worth_it
from parsl_tl.training.datasets import (
    augmentation_by_input,
    batches,
    fed_arrays,
    judging_batches,
    training_batches,
    validation_batch_size,
)
from parsl_tl.training.kept_outputs import KeptOutputs
from parsl_tl.training.report import TrainingReport

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Feed:
    """What ``fit`` is called on and with.

    Attributes:
        model: a whole model, or what follows its frozen prefix.
        training: makes the batches to train with, of a size, and of a seed for their order.
        validation: batches to judge by.
        rows: to train with; None where nobody knows how many there are.
    """

    model: keras.Model
    training: Callable[[int, int], Any]
    validation: Any
    rows: int | None


def whole_feed(model: keras.Model, config: TrainingConfig, data: Data) -> Feed:
    """Feeds a whole model."""
    problem, size = config.problem, config.batch_size
    return Feed(
        model,
        partial(training_batches, model, problem, data),
        judging_batches(model, problem, data, size),
        None if is_stream(data.x_train) else len(leaves(data.y_train)[0]),
    )


def cut_feed(
    model: keras.Model,
    config: TrainingConfig,
    data: Data,
    *,
    epochs: int,
    callbacks: Iterable[Any],
    report: TrainingReport,
) -> Feed | None:
    """Feeds what follows a model's frozen prefix, whose outputs are computed here.

    Args:
        model: the whole model, with its layers frozen.
        config: problem and recipe.
        data: the problem's.
        epochs: that are trained at most.
        callbacks: of the training.
        report: gets bytes and seconds.

    Returns:
        None where the whole model is to be trained: outputs differ from epoch to epoch, take too
        much memory or save no time, or nobody knows what a callback does with the model.
    """
    if is_stream(data.x_train) or is_stream(data.x_valid):
        return None
    if augmentation_by_input(config.problem) or not are_indifferent(callbacks):
        return None
    with report.timed("prefix"):
        set_dtype_policy(model, config.dtype_policy)  # in which the prefix computes, too
        rows = len(leaves(data.y_train)[0]), len(leaves(data.y_valid)[0])
        cut = cut_where_worth_it(
            model,
            when=config.cut_prefix,
            rows=sum(rows),
            epochs=epochs,
            limit=config.frontier_limit,
        )
        if cut is None:
            return None
        size = config.batch_size
        problem = config.problem
        x_train, y_train = fed_arrays(model, problem, data, "train")
        x_valid, y_valid = fed_arrays(model, problem, data, "valid")
        kept = [
            None if config.prefix_cache is None else KeptOutputs(config.prefix_cache, problem, part)
            for part in ("train", "valid")
        ]
        frontier = [cut.outputs(x, size, k) for x, k in zip((x_train, x_valid), kept, strict=True)]
        report.prefix_cached = all(one is not None and one.all_found for one in kept)
        report.frontier_bytes = sum(array.nbytes for arrays in frontier for array in leaves(arrays))
        return Feed(
            cut.suffix,
            partial(batches, frontier[0], y_train, weights=data.row_weights()),
            batches(frontier[1], y_valid, validation_batch_size(cut.suffix, frontier[1], size)),
            rows[0],
        )
