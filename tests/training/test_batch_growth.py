"""Batches that grow from epoch to epoch: which epochs have which size, and training with them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Data, Problem
from parsl_tl.training import BaseTrainer, TrainingConfig
from parsl_tl.training.batch_growth import BatchGrowth, Span

ROWS = 100


class Sums(Problem):
    """A hundred rows to train with, in one array or as a stream."""

    name, input_shape, output_shape = "sums", (4,), (1,)
    metrics, objective, epochs, batch_size = ("r2",), "val_r2", 5, 8
    streams = False

    def _load(self) -> Data:
        x = np.random.default_rng(0).random((ROWS + 20, 4), np.float32)
        y = x.sum(axis=1, keepdims=True)
        if not self.streams:
            return Data(x[:ROWS], y[:ROWS], x[ROWS:], y[ROWS:])
        import tensorflow as tf

        pairs = tf.data.Dataset.from_tensor_slices((x[:ROWS], y[:ROWS])).batch(8)
        return Data(pairs, None, x[ROWS:], y[ROWS:])


class CountedSteps(BaseTrainer):
    """Notes how many steps the optimizer had made at the end of each epoch."""

    def callbacks(self) -> list[keras.callbacks.Callback]:
        self.steps: list[int] = []

        def note(epoch: int, logs: Any) -> None:
            assert self.model is not None  # it is trained
            self.steps.append(int(self.model.optimizer.iterations.numpy()))

        return [keras.callbacks.LambdaCallback(on_epoch_end=note)]


def train(problem: Problem | None = None, **values: Any) -> CountedSteps:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    trainer = CountedSteps(TrainingConfig.for_problem(problem or Sums(), **values), model)
    trainer.run()
    return trainer


@pytest.mark.parametrize(
    ("text", "growth"),
    [
        ("2", BatchGrowth(2.0)),
        (2, BatchGrowth(2.0)),
        ("1.5:3", BatchGrowth(1.5, 3)),
        ("2:3:1024", BatchGrowth(2.0, 3, 1024)),
    ],
)
def test_what_is_read(text: Any, growth: BatchGrowth) -> None:
    assert BatchGrowth.read(text) == growth


@pytest.mark.parametrize("text", ["1", "0.5", "nan", "inf", "2:0", "2:x", "2:1:1:1", "", True])
def test_what_can_never_work_is_told(text: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"batch_growth is.*FACTOR:EPOCHS:LARGEST"):
        TrainingConfig.for_problem(Sums(), batch_growth=text)


@given(
    *(st.floats(1.01, 100.0), st.integers(1, 5), st.none() | st.integers(1, 500)),
    *(st.integers(1, 200), st.integers(1, 400), st.integers(0, 2000), st.integers(1, 300)),
)
def test_spans_are_all_epochs_once(
    factor: float,
    every: int,
    largest: int | None,
    batch_size: int,
    rows: int,
    first: int,
    epochs: int,
) -> None:
    growth = BatchGrowth(factor, every, largest)
    spans = list(growth.spans(batch_size, rows, first, epochs))
    assert [e for s in spans for e in range(s.first, s.first + s.epochs)] == list(
        range(first, first + epochs)
    )
    sizes = [span.batch_size for span in spans]
    limit = max(batch_size, min(rows, largest or rows))
    assert sizes == sorted(set(sizes))
    assert batch_size <= sizes[0]
    assert sizes[-1] <= limit
    # Where training was cut in two does not count.
    (whole,) = {
        span.batch_size
        for span in growth.spans(batch_size, rows, 0, first + epochs)
        if span.first <= first < span.first + span.epochs
    }
    assert whole == sizes[0]


def test_sizes() -> None:
    spans = list(BatchGrowth(2, 2, 50).spans(10, 1000, 1, 8))
    assert spans == [Span(1, 1, 10), Span(2, 2, 20), Span(4, 2, 40), Span(6, 3, 50)]


def test_steps_grow_fewer_and_the_optimizer_goes_on() -> None:
    trainer = train(batch_growth="2:1:40")
    assert np.diff([0, *trainer.steps]).tolist() == [13, 7, 4, 3, 3]
    assert (trainer.report.epochs, len(trainer.report.history)) == (5, 5)
    assert train().steps[-1] == 5 * 13


def test_training_stops_early_whatever_the_batches() -> None:
    trainer = train(
        batch_growth="2", epochs=30, early_stopping_patience=2, learning_rate=1e-9, optimizer="sgd"
    )
    assert 2 <= trainer.report.epochs < 30


def test_a_stream_has_batches_of_its_own() -> None:
    problem = Sums()
    problem.streams = True
    with pytest.raises(InvalidValueError, match=r"batch_growth is '2'.*'sums'.*of its own"):
        train(problem, batch_growth="2")
