"""Cross entropy as one operation of TensorFlow, instead of the thirty that Keras writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import keras


class Loss(NamedTuple):
    """The loss of a batch, and where its gradient begins.

    Attributes:
        value: a scalar.
        target: what to differentiate: the loss itself, or what it is computed from.
        gradient: of the loss by the target; None where they are the same.
    """

    value: Any
    target: Any
    gradient: Any


def loss_of(
    model: keras.Model, x: Any, y: Any, predicted: Any, weights: Any, *, training: bool
) -> Loss:
    """Computes what ``keras.Model.compute_loss`` does, for a model with one output.

    Args:
        model: compiled; TensorFlow's, without losses of its layers, and without masks.
        x: inputs of the batch.
        y: targets of the batch.
        predicted: what the model made of the inputs.
        weights: of the rows in the loss, or None.
        training: whether that was to train.
    """
    import tensorflow as tf

    # Keras, too, takes what went into the softmax, if that was the last step: losses, of float32,
    # convert predictions of other types, and then know those only.
    logits: Any = getattr(predicted, "_keras_logits", None)
    is_known = logits is not None and weights is None
    if is_known and logits.dtype == tf.float32 and len(logits.shape) == 2:
        if model.loss == "categorical_crossentropy" and y.dtype == logits.dtype:
            losses, by_logits = tf.raw_ops.SoftmaxCrossEntropyWithLogits(features=logits, labels=y)
            return _mean(losses, logits, by_logits)
        if model.loss == "sparse_categorical_crossentropy" and len(y.shape) == 1:
            losses, by_logits = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
                features=logits, labels=tf.cast(y, tf.int64)
            )
            return _mean(losses, logits, by_logits)
    value = model.compute_loss(x, y, predicted, weights, training=training)
    return Loss(value, value, None)


def _mean(losses: Any, logits: Any, by_logits: Any) -> Loss:
    import tensorflow as tf

    rows = tf.cast(tf.shape(losses)[0], losses.dtype)
    return Loss(tf.reduce_mean(losses), logits, by_logits / rows)
