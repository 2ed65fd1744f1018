"""Frozen layers that are held by a learning rate of zero, to be thawed without compiling again.

Of a short training, most of the time goes into tracing its steps. Layers that are frozen for a few
epochs have a model traced twice: with them, and without. Held ones are part of its steps from the
start; what that costs is their gradients, which nobody uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.problems import Data
from parsl_tl.problems.data import is_stream, leaves
from parsl_tl.training.cutting import are_indifferent
from parsl_tl.training.frozen_prefix import frozen_row_work

if TYPE_CHECKING:
    import keras

    from parsl_tl.training.config import TrainingConfig

# Multiplications and additions that take as long as to trace a small network once more, about half
# a second on a CPU.
_WORK_OF_TRACING: Final = 2e9
# A step of these is a multiple of the learning rate; others divide by it, or let weights decay.
_OPTIMIZERS: Final = frozenset({"adam", "rmsprop", "sgd"})
_ARGUMENTS: Final = frozenset(
    ("amsgrad", "beta_1", "beta_2", "centered", "epsilon", "momentum", "nesterov", "rho")
)


class HeldRate:
    """The share of the learning rate for what is held: 0, until it is thawed.

    Attributes:
        value: float32, read in every step.
    """

    def __init__(self) -> None:
        import tensorflow as tf

        self.value = tf.Variable(0.0, trainable=False, dtype=tf.float32)


def is_worth_holding(
    model: keras.Model,
    config: TrainingConfig,
    data: Data,
    *,
    epochs: int,
    callbacks: Iterable[Any],
) -> bool:
    """Returns whether to hold a model's frozen layers, which are thawed next, is faster.

    Args:
        model: with its layers frozen.
        config: the recipe.
        data: the problem's.
        epochs: for which they are frozen.
        callbacks: of the training; whoever may look at the layers is shown frozen ones.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or config.cut_prefix != "auto":
        return False
    if config.batch_growth is not None:  # which has steps traced anew all the same
        return False
    if config.optimizer.lower() not in _OPTIMIZERS or not set(config.optimizer_args) <= _ARGUMENTS:
        return False
    if is_stream(data.x_train) or not are_indifferent(callbacks):
        return False
    work = frozen_row_work(model)
    # Forwards, for the gradient of what goes in, and for that of the weights.
    return work is not None and 3 * work * len(leaves(data.y_train)[0]) * epochs < _WORK_OF_TRACING


class HeldLayers:
    """Variables of a model that are held by their rate, and how they are thawed.

    Args:
        variables: to hold.
        shares: of the learning rate, by ``id`` of any other variable; 1 for those not there.

    Attributes:
        shares: what to compile the model with.
    """

    def __init__(self, variables: Iterable[Any], shares: Mapping[int, float]) -> None:
        self._held = {id(variable) for variable in variables}
        self._others = {key: share for key, share in shares.items() if key not in self._held}
        self._rate = HeldRate()
        self.shares: dict[int, float | HeldRate] = {
            **self._others,
            **dict.fromkeys(self._held, self._rate),
        }

    def begin(self, model: keras.Model) -> None:
        """Takes the model, which has been compiled and not trained."""
        self._model = model
        self._trained = _trained_by(model)
        self._begin = [variable.numpy() for variable in model.optimizer.variables]

    def thaw(self, shares: Mapping[int, float]) -> bool:
        """Trains what was held from now on, as if the model were compiled anew.

        Args:
            shares: of the learning rate, by ``id`` of a variable; 1 for those that are not there.

        Returns:
            Whether that is possible: the same variables are trained, at one rate those that were
            held, at the rate of before the others.
        """
        rates = {shares.get(variable, 1.0) for variable in self._held}
        others = {key: share for key, share in shares.items() if key not in self._held}
        if len(rates) != 1 or others != self._others or _trained_by(self._model) != self._trained:
            return False
        self._rate.value.assign(rates.pop())
        for variable, value in zip(self._model.optimizer.variables, self._begin, strict=True):
            variable.assign(value)
        return True


def _trained_by(model: keras.Model) -> list[int]:
    return [id(variable) for variable in model.trainable_variables]
