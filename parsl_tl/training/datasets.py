"""From arrays to ``tf.data``: batches that cost TensorFlow one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsl_tl.problems.data import Array, Arrays, as_tuple

if TYPE_CHECKING:
    import tensorflow as tf

_VALIDATION_BATCH_BYTES = 64 * 2**20
_MAX_SHUFFLE_ROWS = 1_000_000


def batches(x: Arrays, y: Array, batch_size: int, seed: int | None = None) -> tf.data.Dataset:
    """Makes a dataset of ``(x, y)`` batches.

    The batch axis has no static size. With one, as Keras's own handling of arrays has it, a last
    batch of another size makes TensorFlow trace the training step a second time, which takes
    longer than all the steps of a small problem.

    Args:
        x: inputs, one array or a tuple of them.
        y: targets.
        batch_size: rows per batch; the last batch may be smaller.
        seed: shuffle the rows anew for each epoch, in an order that the seed fixes; None keeps
            their order.
    """
    import tensorflow as tf

    with tf.device("CPU:0"):
        inputs = tuple(tf.convert_to_tensor(array) for array in as_tuple(x))
        targets = tf.convert_to_tensor(y)
    rows = tf.data.Dataset.range(len(y))
    if seed is not None:
        rows = rows.shuffle(min(len(y), _MAX_SHUFFLE_ROWS), seed=seed)
    single = not isinstance(x, tuple)

    def gather(index: tf.Tensor) -> tuple[object, tf.Tensor]:
        parts = tuple(tf.gather(tensor, index) for tensor in inputs)
        return (parts[0] if single else parts), tf.gather(targets, index)

    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return rows.batch(batch_size).map(gather).prefetch(1).with_options(options)


def validation_batch_size(x: Arrays, batch_size: int) -> int:
    """Returns as many rows as fit 64 MiB of input: validation keeps no gradients."""
    row_bytes = sum(max(1, array.nbytes // len(array)) for array in as_tuple(x))
    rows = len(as_tuple(x)[0])
    return int(np.clip(_VALIDATION_BATCH_BYTES // row_bytes, min(batch_size, rows), rows))
