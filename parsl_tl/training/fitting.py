"""A model that is compiled with its batches, for one stage of a training or for two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from parsl_tl.problems import Data
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
    """What ``compiled`` gives; it lasts as long as that context."""

    def __init__(
        self, feed: Feed, report: TrainingReport, batches: tuple[Any, Any], held: HeldLayers | None
    ) -> None:
        self._feed, self._report, self._batches, self._held = feed, report, batches, held

    def thaw(self, shares: Mapping[int, float]) -> bool:
        """Goes on with the next stage, if that takes no more than to thaw what was held.

        Args:
            shares: of the learning rate, by ``id`` of a variable; 1 for those that are not there.
        """
        return self._held is not None and self._held.thaw(shares)

    def fit(
        self, best: BestEpoch, epochs: int, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        """Trains for some epochs more, or until it would stop early."""
        training, validation = self._batches
        self._feed.model.fit(
            training,
            validation_data=validation,
            initial_epoch=best.epochs,
            epochs=best.epochs + epochs,
            shuffle=False,  # the dataset does it
            verbose=0,
            callbacks=[*callbacks, epoch_slices(self._report.parts)],
        )


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
    fed = whole_epochs(feed.model, feed.training, feed.validation, callbacks, report)
    with fed as batches:
        yield Fitting(feed, report, batches, layers)
