"""The weights that a model trains, one behind the other in a single variable.

Most of the time of a short training goes into tracing its step, and most of a traced step are
operations for each variable: to pass it in, read it, update it, and the moments of its updates.
Packed, all variables take one of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.fused_adam import fuse_adam

if TYPE_CHECKING:
    import keras

# Every step copies the weights out of the variable, and their gradients together. To copy so many
# numbers in all steps takes half as long as tracing saves, a tenth of a second on a CPU.
_MOST_COPIED: Final = 10**8
# Those that change each number by its own gradients only, by the same rule, and not without one.
_OPTIMIZERS: Final = frozenset(
    ("Adadelta", "Adagrad", "Adam", "Adamax", "Lion", "Nadam", "RMSprop", "SGD")
)


class PackedWeights:
    """The trainable weights of a model, as one variable while it is trained.

    Args:
        model: compiled, its optimizer not built yet.

    Attributes:
        flat: all weights, of shape ``(n,)`` and their dtype. The optimizer is built for it.
    """

    def __init__(self, model: keras.Model) -> None:
        import keras

        self._variables = list(model.trainable_variables)
        self._shapes = [tuple(variable.shape) for variable in self._variables]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        zeros = np.zeros(sum(self._sizes), self._variables[0].dtype)
        self.flat = keras.Variable(zeros, dtype=zeros.dtype.name, name="packed")
        self._model = model
        model.optimizer.build([self.flat])
        fuse_adam(model.optimizer)

    def read(self) -> None:
        """Takes the weights from the model."""
        values = [np.ravel(variable.numpy()) for variable in self._variables]
        self.flat.assign(np.concatenate(values))

    def write(self) -> None:
        """Gives the weights to the model."""
        for variable, part in zip(self._variables, self.parts(), strict=True):
            # Keras would look at each value first, which takes ten times as long.
            variable.value.assign(part, read_value=False)

    def forget(self) -> None:
        """Leaves the model an optimizer that knows nothing of its weights yet."""
        optimizer = self._model.optimizer
        self._model.optimizer = type(optimizer).from_config(optimizer.get_config())

    def parts(self) -> list[Any]:
        """Returns the weights as the tensors that the model computes with."""
        import tensorflow as tf

        parts = tf.split(self.flat.value, self._sizes)
        shaped = zip(parts, self._shapes, strict=True)
        return [part if len(shape) == 1 else tf.reshape(part, shape) for part, shape in shaped]

    def in_place_of_variables(self, parts: Sequence[Any]) -> Any:
        """Lets layers compute with tensors like ``parts``, while the context lasts."""
        import keras

        return keras.StatelessScope(list(zip(self._variables, parts, strict=True)))

    def train(self, gradients: Sequence[Any]) -> None:
        """Changes the weights by the gradients of ``parts``; None for those without any."""
        import tensorflow as tf

        flat = tf.constant([-1])
        pairs = zip(gradients, self._sizes, strict=True)
        parts = [
            tf.zeros(n, self.flat.dtype) if g is None else _reshaped(g, flat) for g, n in pairs
        ]
        self._model.optimizer.apply([tf.concat(parts, 0)], [self.flat])


def _reshaped(gradient: Any, shape: Any) -> Any:
    import tensorflow as tf

    return gradient if len(gradient.shape) == 1 else tf.reshape(gradient, shape)


def may_be_packed(model: keras.Model, config: TrainingConfig, rows: int) -> bool:
    """Whether training packed weights is the same as training the variables, and faster.

    Args:
        model: compiled, with TensorFlow.
        config: the recipe.
        rows: to train with.
    """
    import tensorflow as tf

    weights = model.trainable_variables
    numbers = sum(math.prod(variable.shape) for variable in weights)
    steps = config.epochs * math.ceil(rows / config.batch_size)
    return (
        0 < numbers * steps <= _MOST_COPIED
        and {variable.dtype for variable in weights} in ({"float32"}, {"float64"})
        and all(map(_is_plain, weights))
        and all(map(_is_plain_layer, model._flatten_layers()))
        and _is_by_number(model.optimizer)
        and config.dtype_policy is None
        and len(config.problem.output_heads()) == 1
        # Measured on CPUs only.
        and not tf.config.list_logical_devices("GPU")
    )


def _is_plain(variable: Any) -> bool:
    return (
        variable.constraint is None
        and variable.regularizer is None
        and not variable.overwrite_with_gradient
    )


def _is_plain_layer(layer: Any) -> bool:
    """Whether a layer, or a model, does nothing beside its call: one's own may."""
    import keras

    apart = (
        keras.layers.Embedding,  # has gradients of some rows only, which optimizers treat apart
        keras.layers.Masking,  # what it masks may not count in the loss and the metrics
        keras.layers.SpectralNormalization,  # assigns to a weight that is trained
    )
    return (
        type(layer).__module__.startswith("keras.")
        and not isinstance(layer, apart)
        and getattr(layer, "activity_regularizer", None) is None
    )


def _is_by_number(optimizer: Any) -> bool:
    """Whether an optimizer does the same to numbers in one variable and in several."""
    clips = (optimizer.clipnorm, optimizer.global_clipnorm, optimizer.weight_decay)
    known = type(optimizer).__module__.startswith("keras.") and not optimizer.use_ema
    return known and type(optimizer).__name__ in _OPTIMIZERS and not any(clips)
