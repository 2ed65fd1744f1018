"""A model that is compiled with its batches, for one stage of a training or for two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Data
from parsl_tl.training.batch_growth import Span
from parsl_tl.training.best_epoch import BestEpoch
from parsl_tl.training.compiling import compile_plainly, make_ready
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.datasets import number_of
from parsl_tl.training.epoch_slices import epoch_slices
from parsl_tl.training.feed import Feed
from parsl_tl.training.held_layers import HeldLayers
from parsl_tl.training.packed_weights import PackedWeights, may_be_packed
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.shared_metrics import shared_metrics
from parsl_tl.training.steps import JudgingStep, KerasStep, PackedStep, Step
from parsl_tl.training.whole_epochs import Fit, keras_fit, may_run_whole, whole_epochs

if TYPE_CHECKING:
    import keras


class Fitting:
    """What ``compiled`` gives; it lasts as long as that context.

    Args:
        feed: the model, which is compiled, and its batches.
        config: problem and recipe.
        report: gets seconds.
        held: layers that stay as they are until they are thawed.
        steps: what is done with a batch to train with, and with one to judge by, where TensorFlow
            may run whole epochs; None leaves all to Keras.
        stack: ends what the batches of one size need.
    """

    def __init__(
        self,
        feed: Feed,
        config: TrainingConfig,
        report: TrainingReport,
        held: HeldLayers | None,
        steps: tuple[Step, Step] | None,
        stack: ExitStack,
    ) -> None:
        self._feed, self._config, self._report = feed, config, report
        self._held, self._steps, self._stack = held, steps, stack
        self._growth = config.growth()
        self._batch_size: int | None = None
        self._fit: Fit

    def thaw(self, shares: Mapping[int, float]) -> bool:
        """Goes on with the next stage, if that takes no more than to thaw what was held.

        Args:
            shares: of the learning rate, by ``id`` of a variable; 1 for those that are not there.
        """
        return self._held is not None and self._held.thaw(shares)

    def fit(
        self, best: BestEpoch, epochs: int, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        """Trains for some epochs more, or until it would stop early.

        Raises:
            InvalidValueError: batches of a stream are to grow.
        """
        for span in self._spans(best.epochs, epochs):
            fit = self._fit_with(span)
            fit(
                span.first,
                span.first + span.epochs,
                [*callbacks, epoch_slices(self._report.parts)],
            )
            if self._feed.model.stop_training:
                break

    def _spans(self, first: int, epochs: int) -> Iterable[Span]:
        size = self._config.batch_size
        if self._growth is None:
            return [Span(first, epochs, size)]
        if self._feed.rows is None:
            raise InvalidValueError(
                f"batch_growth is {self._config.batch_growth!r}, but the training data of problem "
                f"{self._config.problem.name!r} comes in batches of its own; leave it out"
            )
        return self._growth.spans(size, self._feed.rows, first, epochs)

    def _fit_with(self, span: Span) -> Fit:
        """Returns what trains with batches of a size; what is traced stays for the next epochs."""
        if span.batch_size != self._batch_size:
            self._stack.close()
            # Rows are not to come in the order of the first epochs again.
            seed = self._config.seed + (0 if self._growth is None else span.first)
            training, validation = self._feed.training(span.batch_size, seed), self._feed.validation
            model = self._feed.model
            if self._steps is None or number_of(training) is None:
                self._fit = keras_fit(model, training, validation)
            else:
                self._fit = self._stack.enter_context(
                    whole_epochs(model, self._steps, training, validation, self._report)
                )
            self._batch_size = span.batch_size
        return self._fit


@contextmanager
def compiled(
    feed: Feed,
    config: TrainingConfig,
    data: Data,
    *,
    shares: Mapping[int, float],
    held: Sequence[Any],
    callbacks: Sequence[keras.callbacks.Callback],
    report: TrainingReport,
) -> Iterator[Fitting]:
    """Compiles a model.

    Args:
        feed: the model and its batches.
        config: problem and recipe.
        data: the problem's.
        shares: of the learning rate, by ``id`` of a variable; 1 for those that are not there.
        held: variables that stay as they are until they are thawed.
        callbacks: of the training.
        report: gets seconds.
    """
    model = feed.model
    layers = HeldLayers(held, shares) if held else None
    rates = shares if layers is None else layers.shares
    with report.parts.part("compile"):
        compile_plainly(model, config)
        is_whole = may_run_whole(model, callbacks) and number_of(feed.validation) is not None
        packed: PackedWeights | None = None
        if is_whole and not rates and feed.rows and may_be_packed(model, config, feed.rows):
            packed = PackedWeights(model)
        else:
            make_ready(model, config, data, rate_shares=rates)
        if layers is not None:
            layers.begin(model)
    try:
        with ExitStack() as stack:
            steps = _steps(model, config, data, packed) if is_whole else None
            yield Fitting(feed, config, report, layers, steps, stack)
    finally:
        if packed is not None:
            packed.forget()


def _steps(
    model: keras.Model, config: TrainingConfig, data: Data, packed: PackedWeights | None
) -> tuple[Step, Step]:
    if packed is None:
        return KerasStep(model, trains=True), KerasStep(model, trains=False)
    metrics = shared_metrics(config.problem, data)
    return PackedStep(model, metrics, packed), JudgingStep(model, metrics)
