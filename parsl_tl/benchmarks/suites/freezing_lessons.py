"""Freezing and unfreezing layers in Keras 3: what it does, shown lesson by lesson.

Each lesson is a function. Its docstring says how things are; its body shows it, and checks every
statement. Read them from top to bottom, or run them all with ``apps/keras_freeze.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_INPUTS, _UNITS, _SAMPLES = 8, 16, 128


class Check(NamedTuple):
    """One statement of a lesson.

    Attributes:
        lesson: name of the lesson's function.
        statement: what is said.
        holds: whether it is so here.
        seen: what was seen, if that is more than yes or no.
    """

    lesson: str
    statement: str
    holds: bool
    seen: str


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


def lesson_1_trainable_weights() -> list[Check]:
    """Freezing a layer moves its weights from one list to another.

    ``layer.trainable = False`` is all that it takes. The weights stay where they are and keep
    their values; the model only lists them under ``non_trainable_weights`` instead of
    ``trainable_weights``. That list is what gradients are computed for. The order of
    ``model.weights``, and so of ``get_weights()``, does not change (in Keras 2 it did).
    """
    note = _Notes("lesson_1_trainable_weights")
    model = small_network()
    order = [weight.path for weight in model.weights]
    before, norms = len(model.trainable_weights), len(model.non_trainable_weights)
    counts = f"{before} trainable, {norms} not"
    note("of 10 weights all but moving mean and variance are trainable", before == 8, counts)

    model.get_layer("first").trainable = False
    moved = len(model.trainable_weights), len(model.non_trainable_weights)
    counts = f"{moved[0]} trainable, {moved[1]} not"
    note("freezing a dense layer moves its kernel and bias", moved == (6, 4), counts)
    same = order == [weight.path for weight in model.weights]
    note("the order of all weights stays as it was", same, same)

    model.trainable = False
    flags = [layer.trainable for layer in model.layers]
    note("freezing a model freezes every layer in it", not any(flags), flags)
    model.trainable = True
    flags = [layer.trainable for layer in model.layers]
    note("and thawing it thaws every layer, those frozen before too", all(flags), flags)
    return note.checks


def lesson_2_compile() -> list[Check]:
    """What is trained is decided when the model is compiled.

    ``compile`` throws away the training step that was traced before; the next batch traces a new
    one with the weights that are trainable then. A flag that changes after that first batch
    changes nothing, without a word, until the model is compiled again.
    """
    note = _Notes("lesson_2_compile")
    model, (x, y) = small_network(), some_data()
    first = model.get_layer("first")
    model.compile("adam", "mse")
    model.train_on_batch(x, y)

    first.trainable = False
    changed = _changes(first, lambda: model.train_on_batch(x, y))
    note("frozen after the first batch, but not compiled: it still trains", changed, changed)
    model.compile("adam", "mse")
    changed = _changes(first, lambda: model.train_on_batch(x, y))
    note("compiled again: it does not train", not changed, changed)
    first.trainable = True
    changed = _changes(first, lambda: model.train_on_batch(x, y))
    note("thawed, but not compiled: it still does not train", not changed, changed)
    model.compile("adam", "mse")
    changed = _changes(first, lambda: model.train_on_batch(x, y))
    note("compiled again: it trains", changed, changed)
    return note.checks


def lesson_3_training() -> list[Check]:
    """Training leaves every byte of a frozen layer as it is.

    No regularizer, weight decay or moment of the optimizer moves a frozen weight. So a model that
    took layers over from another one need not store them again: the donor has the same bytes.
    """
    note = _Notes("lesson_3_training")
    model, (x, y) = small_network(), some_data()
    first, second = model.get_layer("first"), model.get_layer("second")
    first.trainable = False
    import keras

    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    before = {layer.name: _bytes(layer) for layer in model.layers}
    losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    note(
        "20 epochs later the loss is lower",
        losses[-1] < losses[0],
        f"{losses[0]:.4g} to {losses[-1]:.4g}",
    )
    same = before["first"] == _bytes(first)
    note("the frozen layer has the same bytes, weight decay or not", same, same)
    same = before["second"] == _bytes(second)
    note("the others have not", not same, same)
    return note.checks


def lesson_4_optimizer() -> list[Check]:
    """The optimizer keeps nothing for frozen layers, and starts anew when the model is compiled.

    Adam keeps two moments for every trainable weight, twice the model's size; for frozen weights
    there are none. An optimizer is built for the weights that were trainable at its first step:
    it refuses others. So thawing takes a new optimizer, which starts without moments and at step
    0; a small learning rate keeps its first steps from undoing what was learned.
    """
    import keras

    note = _Notes("lesson_4_optimizer")
    model, (x, y) = small_network(), some_data()
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    every = _moment_bytes(model)
    weights = sum(weight.numpy().nbytes for weight in model.trainable_weights)
    note("Adam's moments take twice the trainable weights", every == 2 * weights, f"{every} bytes")

    frozen = model.get_layer("first")
    frozen.trainable = False
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    saved = every - _moment_bytes(model)
    size = sum(weight.numpy().nbytes for weight in frozen.weights)
    note("a frozen layer saves twice its size", saved == 2 * size, f"{saved} bytes")

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
    note("the old optimizer refuses the thawed layer", "Unknown variable" in refusal, refusal[:60])
    model.compile(keras.optimizers.Adam(1e-5), "mse")
    started = int(model.optimizer.iterations.numpy())
    note("a new one starts at step 0", started == 0, f"{steps} steps before, {started} now")
    changed = _changes(frozen, lambda: model.train_on_batch(x, y))
    note("and trains it", changed, changed)
    return note.checks


def lesson_5_batch_normalization() -> list[Check]:
    """A frozen BatchNormalization runs in inference mode; a frozen Dropout does not.

    BatchNormalization normalizes by the batch while it trains, and updates its moving statistics.
    Frozen, it normalizes by the moving statistics and leaves them alone, even when it is called
    with ``training=True``. That is the one layer for which ``trainable`` changes what it computes.
    Its statistics are no trainable weights, thawed or not: who stores "what was trained" must take
    all weights of a layer. Dropout has no weights, and goes on dropping.
    """
    note = _Notes("lesson_5_batch_normalization")
    model, (x, _) = small_network(), some_data()
    norm, drop = model.get_layer("norm"), model.get_layer("drop")
    hidden = model.get_layer("first")(x)

    trained = norm(hidden, training=True).numpy()
    inferred = norm(hidden, training=False).numpy()
    different = not np.array_equal(trained, inferred)
    note("thawed, training normalizes by the batch", different, different)
    changed = _changes(norm, lambda: norm(hidden, training=True))
    note("and updates the moving statistics", changed, changed)

    norm.trainable = False
    changed = _changes(norm, lambda: norm(hidden, training=True))
    note("frozen, training updates nothing", not changed, changed)
    trained = norm(hidden, training=True).numpy()
    inferred = norm(hidden, training=False).numpy()
    same = np.array_equal(trained, inferred)
    note("and gives bit for bit what inference gives", same, same)

    drop.trainable = False
    dropped = float((drop(np.ones((1, 10_000), np.float32), training=True).numpy() == 0).mean())
    note("a frozen Dropout of 0.5 still drops about half", 0.4 < dropped < 0.6, f"{dropped:.3f}")
    return note.checks


def lesson_6_unfreezing() -> list[Check]:
    """Fine-tuning: train the new layers first, then thaw the others at a small learning rate.

    Thawing changes no value, so inference gives what it gave before. Only BatchNormalization
    computes something else in training from then on; where its statistics should stay those of
    the donor, it is left frozen while the rest is thawed.
    """
    import keras

    note = _Notes("lesson_6_unfreezing")
    model, (x, y) = small_network(), some_data()
    for name in ("first", "norm"):
        model.get_layer(name).trainable = False
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=10, verbose=0)
    before = model.predict(x, verbose=0)

    model.get_layer("first").trainable = True
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    same = np.array_equal(before, model.predict(x, verbose=0))
    note("thawing changes no prediction", same, same)
    norm = model.get_layer("norm")
    statistics = _bytes(norm)
    first = model.get_layer("first")
    changed = _changes(first, lambda: model.fit(x, y, epochs=2, verbose=0))
    note("the thawed layer trains", changed, changed)
    same = statistics == _bytes(norm)
    note("the BatchNormalization that was left frozen keeps its statistics", same, same)
    return note.checks


def lesson_7_files() -> list[Check]:
    """A .keras file remembers what was frozen; a weights file does not.

    ``trainable`` is part of a layer's configuration, which is why two equal layers may differ in
    it: what identifies a layer must leave it out.
    """
    import keras

    note = _Notes("lesson_7_files")
    model = small_network()
    model.get_layer("first").trainable = False
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        whole = keras.models.load_model(Path(folder) / "model.keras")
        model.save_weights(Path(folder) / "model.weights.h5")
        other = small_network()
        other.load_weights(Path(folder) / "model.weights.h5")
    frozen = not whole.get_layer("first").trainable
    note("loaded from .keras, the layer is frozen", frozen, frozen)
    frozen = not other.get_layer("first").trainable
    note("with weights from .weights.h5, it is as it was built", not frozen, frozen)
    same = all(
        _bytes(one) == _bytes(two) for one, two in zip(model.layers, other.layers, strict=True)
    )
    note("frozen and thawed models read each other's weights files", same, same)
    return note.checks


LESSONS: Final[Sequence[Callable[[], list[Check]]]] = (
    lesson_1_trainable_weights,
    lesson_2_compile,
    lesson_3_training,
    lesson_4_optimizer,
    lesson_5_batch_normalization,
    lesson_6_unfreezing,
    lesson_7_files,
)


class _Notes:
    """Collects the checks of a lesson."""

    def __init__(self, lesson: str) -> None:
        self._lesson = lesson
        self.checks: list[Check] = []

    def __call__(self, statement: str, holds: bool, seen: object) -> None:
        # A yes or no tells no more than whether it holds.
        told = "" if isinstance(seen, bool) else str(seen)
        self.checks.append(Check(self._lesson, statement, holds, told))


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
