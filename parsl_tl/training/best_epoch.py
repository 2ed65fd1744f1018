"""Watches training: keeps the best epoch's weights, stops early, notices divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.keras_state import forget_traces, make_derived_anew
from parsl_tl.errors import NaNLossError

if TYPE_CHECKING:
    import keras


class BestEpoch:
    """Follows an objective over epochs, across several calls of ``fit``.

    Of epochs with the same objective, the one with the lowest validation loss is the best: few
    validation rows are soon all right, and the loss goes on telling weights apart. Stopping early
    asks for the objective alone, so that a loss that creeps on does not prolong a training.

    Keras's own early stopping forgets what it saw when ``fit`` is called again, and copies every
    weight at every better epoch; this copies those that training can change.

    Args:
        model: the one that is trained.
        score: reads the objective from an epoch's logs; larger is better.
        variables: gives the variables that may change before training ends.
        last_epoch: index of the last epoch that may come; its weights need no copy.
        early_stopping_patience: epochs without a better objective after which training stops;
            None never stops.

    Attributes:
        value: the best objective, ``-inf`` before any.
        loss: the validation loss of the best epoch; infinite where there is none.
        epoch: index of the best epoch, ``-1`` where that is none, or the start.
        epochs: epochs seen.
        history: the logs of every epoch.
    """

    def __init__(
        self,
        model: keras.Model,
        score: Callable[[Mapping[str, float]], float],
        variables: Callable[[], Sequence[Any]],
        *,
        last_epoch: int,
        early_stopping_patience: int | None,
    ) -> None:
        self.value, self.loss = -math.inf, math.inf
        self.epoch = -1
        self.epochs = 0
        self.history: list[dict[str, float]] = []
        self._model = model
        self._score = score
        self._variables = variables
        self._last_epoch = last_epoch
        self._patience = early_stopping_patience
        self._waited = 0
        self._highest = -math.inf  # of epochs alone
        self._snapshot: list[tuple[Any, Any]] | None = None
        self._diverged: str | None = None

    def callback(self) -> keras.callbacks.Callback:
        """Makes the Keras callback that feeds this object."""
        import keras

        callback = keras.callbacks.LambdaCallback(
            on_train_batch_end=self._on_batch_end, on_epoch_end=self._on_epoch_end
        )
        # Lets Keras call back beside the training loop instead of waiting for every step.
        callback.async_safe = True
        self._callback = callback  # which knows the model that ``fit`` was called on
        return callback

    def count_start(self, logs: Mapping[str, float]) -> None:
        """Counts the weights as they are before the first epoch, which these are the logs of.

        An epoch that is no better does not replace them. Stopping early looks at epochs alone: a
        new optimizer may cost quality at first.
        """
        value = self._score(logs)
        if math.isfinite(value):
            self._keep(-1, value, _finite_loss(logs))

    def be_patient_again(self) -> None:
        """Counts epochs without improvement from zero."""
        self._waited = 0

    def check(self) -> None:
        """Raises what a callback must not raise inside Keras.

        Raises:
            NaNLossError: the loss, or the objective of every epoch, was NaN or infinite.
        """
        if self._diverged is not None:
            raise NaNLossError(
                f"{self._diverged}; the learning rate may be too high for this architecture"
            )

    def restore(self) -> None:
        """Puts the weights of the best epoch back.

        Raises:
            NaNLossError: no epoch had a finite objective.
        """
        self.check()
        if not math.isfinite(self.value):
            raise NaNLossError("the objective was NaN or infinite in every epoch")
        if self._snapshot is not None and self.epoch < self.epochs - 1:
            for variable, value in self._snapshot:
                variable.assign(value)
            if make_derived_anew([self._model]):
                forget_traces(self._model)

    def _on_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        # Hours of a diverged epoch are saved; logs hold the mean loss, which stays NaN.
        self._check_loss(logs, f"after step {batch + 1} of epoch {self.epochs + 1}")

    def _on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self._check_loss(logs, f"in epoch {epoch + 1}")
        self.epochs = epoch + 1
        self.history.append({name: float(value) for name, value in logs.items()})
        if self._diverged is not None:
            return
        value, loss = self._score(logs), _finite_loss(logs)
        better = math.isfinite(value) and value > self.value
        if better or (value == self.value and loss < self.loss):
            self._keep(epoch, value, loss)
        is_higher = math.isfinite(value) and value > self._highest
        self._highest = value if is_higher else self._highest
        self._waited = 0 if is_higher else self._waited + 1
        if self._patience is not None and self._waited >= self._patience:
            self._callback.model.stop_training = True

    def _keep(self, epoch: int, value: float, loss: float) -> None:
        self.value, self.loss, self.epoch = value, loss, epoch
        self._snapshot = (
            None
            if epoch == self._last_epoch
            else [(variable, variable.numpy()) for variable in self._variables()]
        )

    def _check_loss(self, logs: Mapping[str, float], when: str) -> None:
        loss = float(logs.get("loss", 0.0))
        if self._diverged is None and not math.isfinite(loss):
            self._diverged = f"the loss is {loss} {when}"
            self._callback.model.stop_training = True


def _finite_loss(logs: Mapping[str, float]) -> float:
    loss = float(logs.get("val_loss", math.inf))
    return loss if math.isfinite(loss) else math.inf
