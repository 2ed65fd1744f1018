"""From a problem's data to what Keras trains with: batches that cost one trace of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems import Problem
from parsl_tl.problems.data import Array, Arrays, Data, is_stream, leaves, map_arrays
from parsl_tl.problems.targets import targets_of
from parsl_tl.training.frozen_prefix import largest_output_bytes
from parsl_tl.transfer.shared_memory import tensor_over

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_VALIDATION_BATCH_BYTES = 16 * 2**20
# What is larger may have to come from the disk again in each epoch: better ahead of the steps.
_AT_HAND_BYTES = 2**30


def training_batches(
    model: keras.Model, problem: Problem, data: Data, batch_size: int, seed: int
) -> Any:
    """Makes what a candidate is trained with: shuffled, weighted and augmented batches.

    Args:
        model: whose inputs are fed.
        problem: whose data it is.
        data: the problem's.
        batch_size: rows per batch; a stream has its own.
        seed: of the order of rows.
    """
    layers = augmentation_by_input(problem)
    if is_stream(data.x_train):
        return _augmented_stream(data.x_train, layers)
    x, y = fed_arrays(model, problem, data, "train")
    return batches(x, y, batch_size, seed, weights=data.row_weights(), augmentation=layers)


def judging_batches(
    model: keras.Model, problem: Problem, data: Data, batch_size: int, part: str = "valid"
) -> Any:
    """Makes what a model is judged by: all rows of a part, in order, as they are.

    Args:
        model: whose inputs are fed.
        problem: whose data it is.
        data: the problem's.
        batch_size: rows per batch at least.
        part: ``"valid"`` or ``"test"``.

    Raises:
        ProblemError: the data has no such part.
    """
    x, _ = data.part(part)
    if is_stream(x):
        return x
    x, y = fed_arrays(model, problem, data, part)
    return batches(x, y, validation_batch_size(model, x, batch_size))


def augmentation_by_input(problem: Problem) -> dict[int, list[Any]]:
    """Returns the layers that change training inputs, by the number of the input.

    Raises:
        ProblemError: they name an input that there is not.
    """
    said = problem.augmentation()
    if not isinstance(said, Mapping):
        return {0: list(said)} if said else {}
    shape = problem.input_shape
    names = list(shape) if isinstance(shape, dict) else list(map(str, range(len(shape))))
    unknown = [name for name in said if name not in names]
    if unknown:
        raise ProblemError(
            f"augmentation of problem {problem.name!r} names the inputs {unknown}; it has {names}"
        )
    return {names.index(name): list(layers) for name, layers in said.items()}


def fed_arrays(model: keras.Model, problem: Problem, data: Data, part: str) -> tuple[Any, Any]:
    """Returns inputs and targets in the structure and order that the model has them.

    Args:
        model: that is fed.
        problem: whose data it is.
        data: the problem's, in arrays.
        part: ``"train"``, ``"valid"`` or ``"test"``.

    Raises:
        ProblemError: the data has no such part.
    """
    x, y = data.part(part)
    names = list(problem.input_shape) if isinstance(problem.input_shape, dict) else None
    if names is not None:
        ordered = [x[name] for name in names] if isinstance(x, dict) else leaves(x)
        x = dict(zip(names, ordered, strict=True))
        if not isinstance(model.input, dict):
            x = tuple(ordered) if len(ordered) > 1 else ordered[0]
    heads = problem.output_heads()
    targets = targets_of(y, heads)
    return x, (targets if len(heads) > 1 else targets[0])


def batches(
    x: Arrays,
    y: Arrays,
    batch_size: int,
    seed: int | None = None,
    *,
    weights: Array | None = None,
    augmentation: Mapping[int, Sequence[Any]] | None = None,
) -> Any:
    """Makes batches ``(x, y)``, or ``(x, y, weights)``, in the form that Keras' backend takes best.

    They are ``RowBatches`` for TensorFlow, and a ``keras.utils.PyDataset`` for the others. Of the
    former, the batch axis has no static size. With one, as Keras's own handling of arrays has
    it, a last batch of another size makes TensorFlow trace the training step a second time, which
    takes longer than all the steps of a small problem.

    Args:
        x: inputs, one array or a tuple of them; of memory-mapped arrays TensorFlow reads the rows
            where they are, without a copy that each process would have.
        y: targets, one array or a tuple of them.
        batch_size: rows per batch; the last batch may be smaller.
        seed: shuffle the rows anew for each epoch, in an order that the seed fixes; None keeps
            their order.
        weights: of the rows in the loss.
        augmentation: Keras layers for the inputs, by their number.
    """
    import keras

    weighted = (x, y) if weights is None else (x, y, weights)
    if keras.backend.backend() != "tensorflow":
        from parsl_tl.training.array_batches import ArrayBatches

        return ArrayBatches(weighted, batch_size, seed, partial(augment, layers=augmentation or {}))
    return RowBatches(weighted, batch_size, seed, augmentation or {})


class RowBatches:
    """Batches of tensors, for Keras as a dataset, or for steps that take their rows themselves.

    Args:
        weighted: inputs, targets, and maybe weights, each an array or a structure of them.
        size: rows per batch; the last one may have fewer.
        seed: of the order of rows; None keeps their order.
        augmentation: layers for the inputs, by their number.

    Attributes:
        size: as given.
        count: rows in all.
        number: of batches.
        are_at_hand: whether steps may take the rows; else it is better to read ahead of them.
    """

    def __init__(
        self,
        weighted: tuple[Any, ...],
        size: int,
        seed: int | None,
        augmentation: Mapping[int, Sequence[Any]],
    ) -> None:
        self.size, self.count = size, len(leaves(weighted[1])[0])
        self.number = -(-self.count // size)
        self._weighted, self._augmentation = weighted, augmentation
        self._random = None if seed is None else np.random.default_rng(seed)
        flat = [array for arrays in weighted for array in leaves(arrays)]
        self._gather = _gather(flat)
        mapped = sum(array.nbytes for array in flat if isinstance(array, np.memmap))
        self.are_at_hand = mapped <= _AT_HAND_BYTES and not augmentation

    def order(self) -> Array:
        """Returns the numbers of all rows, int64, in another order for each epoch."""
        if self._random is None:
            return np.arange(self.count)
        return self._random.permutation(self.count)

    def batch(self, index: tf.Tensor) -> tuple[Any, ...]:
        """Returns the rows of these numbers."""
        remaining = iter(self._gather(index))
        parts = [map_arrays(lambda _: next(remaining), arrays) for arrays in self._weighted]
        return (augment(parts[0], self._augmentation), *parts[1:])

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yields the batches of an epoch."""
        return iter(self.dataset)

    @cached_property
    def dataset(self) -> tf.data.Dataset:
        """The same for Keras; nobody else needs the threads of a pipeline."""
        import tensorflow as tf

        rows = tf.data.Dataset.from_generator(
            lambda: [self.order()], output_signature=tf.TensorSpec((self.count,), tf.int64)
        )
        options = tf.data.Options()
        options.threading.private_threadpool_size = 1
        options.experimental_optimization.apply_default_optimizations = False
        options.autotune.enabled = False
        # Reading and compiling the source of what is Python for tensors as it stands takes a
        # worker's first evaluation more than a second. Layers that augment may be anyone's.
        plain = tf.autograph.experimental.do_not_convert(self.batch)
        batch = self.batch if self._augmentation else plain
        batches = rows.unbatch().batch(self.size).map(batch).prefetch(1)
        counted = batches.apply(tf.data.experimental.assert_cardinality(self.number))
        return counted.with_options(options)


def for_keras(batches: Any) -> Any:
    """Returns what Keras takes to train with batches or to judge by them."""
    return batches.dataset if isinstance(batches, RowBatches) else batches


def _gather(arrays: Sequence[Array]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Takes the rows of a batch from arrays; mapped ones stay where they are."""
    import tensorflow as tf

    tensors = []
    with tf.device("CPU:0"):
        for array in arrays:
            tensor = None if array.flags.writeable else tensor_over(array)
            if tensor is None and isinstance(array, np.memmap) and array.nbytes > _AT_HAND_BYTES:
                return _gather_in_python(arrays)
            tensors.append(tf.convert_to_tensor(array) if tensor is None else tensor)
    return lambda index: [tf.gather(tensor, index) for tensor in tensors]


def _gather_in_python(arrays: Sequence[Array]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Takes rows of mapped arrays that lie as no tensor can, without reading all of them."""
    import tensorflow as tf

    def read(index: Any) -> list[Array]:
        return [np.ascontiguousarray(array[index]) for array in arrays]

    def gather(index: tf.Tensor) -> list[tf.Tensor]:
        found = tf.numpy_function(read, [index], [array.dtype for array in arrays])
        for tensor, array in zip(found, arrays, strict=True):
            tensor.set_shape((None, *array.shape[1:]))
        return list(found)

    return gather


def augment(x: Any, layers: Mapping[int, Sequence[Any]]) -> Any:
    """Passes inputs through the layers for them, as in training."""
    if not layers:
        return x
    inputs = list(leaves(x))
    for number, chain in layers.items():
        for layer in chain:
            inputs[number] = layer(inputs[number], training=True)
    remaining = iter(inputs)
    return map_arrays(lambda _: next(remaining), x)


def _augmented_stream(stream: Any, layers: Mapping[int, Sequence[Any]]) -> Any:
    """Augments a ``tf.data.Dataset``; other streams are left to their makers.

    Raises:
        ProblemError: the stream is another one.
    """
    if not layers:
        return stream
    if not hasattr(stream, "map"):
        raise ProblemError(
            f"a {type(stream).__name__} is to be augmented; do it in its __getitem__, or give a "
            "tf.data.Dataset"
        )
    return stream.map(lambda x, *others: (augment(x, layers), *others))


def number_of(batches: Any) -> int | None:
    """Returns how many batches there are; None for a stream that does not know."""
    if isinstance(batches, RowBatches):
        return batches.number
    cardinality = getattr(batches, "cardinality", None)
    number = int(cardinality()) if cardinality is not None else -1
    return number if number > 0 else None


def validation_batch_size(model: keras.Model, x: Arrays, batch_size: int) -> int:
    """Returns as many rows as fit 16 MiB, of input and of what any layer makes of it.

    Validation keeps no gradients, so that a batch may be larger than one to train with. What a
    convolution makes of an image is larger than the image, and is kept for the next batch.
    """
    row_bytes = sum(max(1, array.nbytes // len(array)) for array in leaves(x))
    largest = max(row_bytes, largest_output_bytes(model))
    rows = len(leaves(x)[0])
    return int(np.clip(_VALIDATION_BATCH_BYTES // largest, min(batch_size, rows), rows))
