"""Freezing and unfreezing layers in Keras 3: what it does, shown lesson by lesson.

Each lesson is a function. Its docstring says how things are; its body shows it, and checks every
statement. Read them from top to bottom, or run them all with ``apps/keras_freeze.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_INPUTS, _UNITS, _SAMPLES = 8, 16, 128


class Check(NamedTuple):
    """A statement of a lesson (its function's name), whether it holds here, and what was seen."""

    lesson: str
    statement: str
    holds: bool
    seen: str


# Statements, whether each holds, and what was seen if that is more than yes or no.
Lesson = Iterator[tuple[Any, ...]]


def small_network() -> Any:
    """Builds what the lessons freeze."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((_INPUTS,)),
            layers.Dense(_UNITS, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(_UNITS, activation="relu", name="second"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(1, name="head"),
        ]
    )


def some_data() -> tuple[Array, Array]:
    """Returns inputs (128, 8) and their sums (128, 1), float32."""
    x = np.random.default_rng(0).normal(2.0, 3.0, (_SAMPLES, _INPUTS)).astype(np.float32)
    return x, x.sum(axis=1, keepdims=True)


def lesson_1_trainable_weights() -> Lesson:
    """Freezing a layer moves its weights from one list to another.

    ``layer.trainable = False`` is all that it takes. The weights stay where they are and keep
    their values; the model only lists them under ``non_trainable_weights`` instead of
    ``trainable_weights``. That list is what gradients are computed for. The order of
    ``model.weights``, and so of ``get_weights()``, does not change (in Keras 2 it did).
    """
    model = small_network()
    order = [weight.path for weight in model.weights]
    before, norms = len(model.trainable_weights), len(model.non_trainable_weights)
    counts = f"{before} trainable, {norms} not"
    yield "of 10 weights all but moving mean and variance are trainable", before == 8, counts

    model.get_layer("first").trainable = False
    moved = len(model.trainable_weights), len(model.non_trainable_weights)
    counts = f"{moved[0]} trainable, {moved[1]} not"
    yield "freezing a dense layer moves its kernel and bias", moved == (6, 4), counts
    same = order == [weight.path for weight in model.weights]
    yield "the order of all weights stays as it was", same

    model.trainable = False
    flags = [layer.trainable for layer in model.layers]
    yield "freezing a model freezes every layer in it", not any(flags), flags
    model.trainable = True
    flags = [layer.trainable for layer in model.layers]
    yield "and thawing it thaws every layer, those frozen before too", all(flags), flags


def lesson_2_compile() -> Lesson:
    """What is trained is decided when the model is compiled.

    ``compile`` throws away the training step that was traced before; the next batch traces a new
    one with the weights that are trainable then. A flag that changes after that first batch
    changes nothing, without a word, until the model is compiled again.
    """
    model, (x, y) = small_network(), some_data()
    first = model.get_layer("first")
    model.compile("adam", "mse")
    model.train_on_batch(x, y)

    def step() -> None:
        model.train_on_batch(x, y)

    first.trainable = False
    yield "frozen after the first batch, but not compiled: it still trains", _changes(first, step)
    model.compile("adam", "mse")
    yield "compiled again: it does not train", not _changes(first, step)
    first.trainable = True
    yield "thawed, but not compiled: it still does not train", not _changes(first, step)
    model.compile("adam", "mse")
    yield "compiled again: it trains", _changes(first, step)


def lesson_3_training() -> Lesson:
    """Training leaves every byte of a frozen layer as it is.

    No regularizer, weight decay or moment of the optimizer moves a frozen weight. So a model that
    took layers over from another one need not store them again: the donor has the same bytes.
    """
    model, (x, y) = small_network(), some_data()
    first, second = model.get_layer("first"), model.get_layer("second")
    first.trainable = False
    import keras

    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    before = {layer.name: _bytes(layer) for layer in model.layers}
    losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    yield (
        "20 epochs later the loss is lower",
        losses[-1] < losses[0],
        f"{losses[0]:.4g} to {losses[-1]:.4g}",
    )
    same = before["first"] == _bytes(first)
    yield "the frozen layer has the same bytes, weight decay or not", same
    same = before["second"] == _bytes(second)
    yield "the others have not", not same


def lesson_4_optimizer() -> Lesson:
    """The optimizer keeps nothing for frozen layers, and starts anew when the model is compiled.

    Adam keeps two moments for every trainable weight, twice the model's size; for frozen weights
    there are none. An optimizer is built for the weights that were trainable at its first step:
    it refuses others. So thawing takes a new optimizer, which starts without moments and at step
    0; a small learning rate keeps its first steps from undoing what was learned.
    """
    import keras

    model, (x, y) = small_network(), some_data()
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    every = _moment_bytes(model)
    weights = sum(weight.numpy().nbytes for weight in model.trainable_weights)
    yield "Adam's moments take twice the trainable weights", every == 2 * weights, f"{every} bytes"

    frozen = model.get_layer("first")
    frozen.trainable = False
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    saved = every - _moment_bytes(model)
    size = sum(weight.numpy().nbytes for weight in frozen.weights)
    yield "a frozen layer saves twice its size", saved == 2 * size, f"{saved} bytes"

    for _ in range(4):
        model.train_on_batch(x, y)
    used, steps = model.optimizer, int(model.optimizer.iterations.numpy())
    frozen.trainable = True
    model.compile(used, "mse")
    try:
        model.train_on_batch(x, y)
        refusal = "no refusal"
    except ValueError as error:
        refusal = str(error)
    yield "the old optimizer refuses the thawed layer", "Unknown variable" in refusal, refusal[:60]
    model.compile(keras.optimizers.Adam(1e-5), "mse")
    started = int(model.optimizer.iterations.numpy())
    yield "a new one starts at step 0", started == 0, f"{steps} steps before, {started} now"
    yield "and trains it", _changes(frozen, lambda: model.train_on_batch(x, y))


def lesson_5_batch_normalization() -> Lesson:
    """A frozen BatchNormalization runs in inference mode; a frozen Dropout does not.

    BatchNormalization normalizes by the batch while it trains, and updates its moving statistics.
    Frozen, it normalizes by the moving statistics and leaves them alone, even when it is called
    with ``training=True``. That is the one layer for which ``trainable`` changes what it computes.
    Its statistics are no trainable weights, thawed or not: who stores "what was trained" must take
    all weights of a layer. Dropout has no weights, and goes on dropping.
    """
    model, (x, _) = small_network(), some_data()
    norm, drop = model.get_layer("norm"), model.get_layer("drop")
    hidden = model.get_layer("first")(x)

    trained = norm(hidden, training=True).numpy()
    inferred = norm(hidden, training=False).numpy()
    yield "thawed, training normalizes by the batch", not np.array_equal(trained, inferred)
    yield "and updates the moving statistics", _changes(norm, lambda: norm(hidden, training=True))

    norm.trainable = False
    changed = _changes(norm, lambda: norm(hidden, training=True))
    yield "frozen, training updates nothing", not changed
    trained = norm(hidden, training=True).numpy()
    inferred = norm(hidden, training=False).numpy()
    yield "and gives bit for bit what inference gives", np.array_equal(trained, inferred)

    drop.trainable = False
    dropped = float((drop(np.ones((1, 10_000), np.float32), training=True).numpy() == 0).mean())
    yield "a frozen Dropout of 0.5 still drops about half", 0.4 < dropped < 0.6, f"{dropped:.3f}"


def lesson_6_unfreezing() -> Lesson:
    """Fine-tuning: train the new layers first, then thaw the others at a small learning rate.

    Thawing changes no value, so inference gives what it gave before. Only BatchNormalization
    computes something else in training from then on; where its statistics should stay those of
    the donor, it is left frozen while the rest is thawed.
    """
    import keras

    model, (x, y) = small_network(), some_data()
    for name in ("first", "norm"):
        model.get_layer(name).trainable = False
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=10, verbose=0)
    before = model.predict(x, verbose=0)

    model.get_layer("first").trainable = True
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    yield "thawing changes no prediction", np.array_equal(before, model.predict(x, verbose=0))
    norm = model.get_layer("norm")
    statistics = _bytes(norm)
    first = model.get_layer("first")
    yield "the thawed layer trains", _changes(first, lambda: model.fit(x, y, epochs=2, verbose=0))
    same = statistics == _bytes(norm)
    yield "the BatchNormalization that was left frozen keeps its statistics", same


def lesson_7_files() -> Lesson:
    """A .keras file remembers what was frozen; a weights file does not.

    ``trainable`` is part of a layer's configuration, which is why two equal layers may differ in
    it: what identifies a layer must leave it out.
    """
    import keras

    model = small_network()
    model.get_layer("first").trainable = False
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        whole = keras.models.load_model(Path(folder) / "model.keras")
        model.save_weights(Path(folder) / "model.weights.h5")
        other = small_network()
        other.load_weights(Path(folder) / "model.weights.h5")
    yield "loaded from .keras, the layer is frozen", not whole.get_layer("first").trainable
    frozen = not other.get_layer("first").trainable
    yield "with weights from .weights.h5, it is as it was built", not frozen
    same = all(
        _bytes(one) == _bytes(two) for one, two in zip(model.layers, other.layers, strict=True)
    )
    yield "frozen and thawed models read each other's weights files", same


LESSONS: Final[Sequence[Callable[[], Lesson]]] = (
    lesson_1_trainable_weights,
    lesson_2_compile,
    lesson_3_training,
    lesson_4_optimizer,
    lesson_5_batch_normalization,
    lesson_6_unfreezing,
    lesson_7_files,
)


def checks_of(lesson: Callable[[], Lesson]) -> list[Check]:
    """Goes through a lesson."""
    told = [(statement, holds, *map(str, seen)) for statement, holds, *seen in lesson()]
    return [Check(lesson.__name__, *one, *[""] * (3 - len(one))) for one in told]


def _bytes(layer: Any) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in layer.weights]


def _changes(layer: Any, action: Callable[[], object]) -> bool:
    """Tells whether a byte of the layer's weights is another one after an action."""
    before = _bytes(layer)
    action()
    return before != _bytes(layer)


def _moment_bytes(model: Any) -> int:
    """Returns the bytes that the optimizer keeps for weights: all but its step and its rate."""
    kept = model.optimizer.variables
    return sum(variable.numpy().nbytes for variable in kept if len(variable.shape) > 0)
