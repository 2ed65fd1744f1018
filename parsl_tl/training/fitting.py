"""A model that is compiled with its batches, for one stage of a training or for two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import Data
from parsl_tl.training.batch_growth import Span
from parsl_tl.training.best_epoch import BestEpoch
from parsl_tl.training.compiling import compile_model
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.epoch_slices import epoch_slices
from parsl_tl.training.feed import Feed
from parsl_tl.training.held_layers import HeldLayers
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.whole_epochs import whole_epochs

if TYPE_CHECKING:
    import keras


class Fitting:
    """What ``compiled`` gives; it lasts as long as that context.

    Args:
        feed: the model, which is compiled, and its batches.
        config: problem and recipe.
        callbacks: of the training.
        report: gets seconds.
        held: layers that stay as they are until they are thawed.
        stack: ends what the batches of one size need.
    """

    def __init__(
        self,
        feed: Feed,
        config: TrainingConfig,
        callbacks: Sequence[keras.callbacks.Callback],
        report: TrainingReport,
        held: HeldLayers | None,
        stack: ExitStack,
    ) -> None:
        self._feed, self._config, self._callbacks = feed, config, callbacks
        self._report, self._held, self._stack = report, held, stack
        self._growth = config.growth()
        self._batch_size: int | None = None
        self._batches: tuple[Any, Any] = (None, None)

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
            training, validation = self._batches_of(span)
            self._feed.model.fit(
                training,
                validation_data=validation,
                initial_epoch=span.first,
                epochs=span.first + span.epochs,
                shuffle=False,  # the dataset does it
                verbose=0,
                callbacks=[*callbacks, epoch_slices(self._report.parts)],
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

    def _batches_of(self, span: Span) -> tuple[Any, Any]:
        if span.batch_size != self._batch_size:
            self._stack.close()
            # Rows are not to come in the order of the first epochs again.
            seed = self._config.seed + (0 if self._growth is None else span.first)
            training = self._feed.training(span.batch_size, seed)
            self._batches = self._stack.enter_context(
                whole_epochs(
                    *(self._feed.model, training, self._feed.validation),
                    *(self._callbacks, self._report),
                )
            )
            self._batch_size = span.batch_size
        return self._batches


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
    layers = HeldLayers(held, shares) if held else None
    with report.parts.part("compile"):
        rates = shares if layers is None else layers.shares
        compile_model(feed.model, config, data, rate_shares=rates)
        if layers is not None:
            layers.begin(feed.model)
    with ExitStack() as stack:
        yield Fitting(feed, config, callbacks, report, layers, stack)
