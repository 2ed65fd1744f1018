"""Adam as one operation of TensorFlow for each variable, instead of the dozen that Keras writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def fuse_adam(optimizer: Any) -> None:
    """Lets Keras' Adam update each variable by TensorFlow's own kernel.

    It computes the same. In a short training, most operations that are traced, and then run in
    every step, are updates of small variables. Other optimizers and backends stay as they are, and
    so do gradients that are not dense.

    Args:
        optimizer: that a model was compiled with.
    """
    import keras

    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # where the loss is scaled
    if type(optimizer) is not keras.optimizers.Adam or optimizer.amsgrad:
        return
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    one_by_one = optimizer._backend_update_step

    def update(gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        if not all(map(_is_dense, gradients, variables)):
            one_by_one(gradients, variables, learning_rate)
            return
        step = tf.cast(optimizer.iterations.value + 1, tf.float32)
        # Once for all variables, each of which would else trace operations of its own for them.
        rate = tf.cast(learning_rate, tf.float32)
        betas = [tf.constant(beta, tf.float32) for beta in (optimizer.beta_1, optimizer.beta_2)]
        powers = [tf.pow(beta, step) for beta in betas]
        epsilon = tf.constant(optimizer.epsilon, tf.float32)
        for gradient, variable in zip(gradients, variables, strict=True):
            index = optimizer._get_variable_index(variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.value.handle,
                m=optimizer._momentums[index].value.handle,
                v=optimizer._velocities[index].value.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=betas[0],
                beta2=betas[1],
                epsilon=epsilon,
                grad=gradient,
            )

    optimizer._backend_update_step = update


def _is_dense(gradient: Any, variable: Any) -> bool:
    import tensorflow as tf

    return isinstance(gradient, tf.Tensor) and gradient.dtype == tf.float32 == variable.value.dtype
