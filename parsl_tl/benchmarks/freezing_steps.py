"""What freezing does to the time of a training step: it depends on which end is frozen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from parsl_tl.benchmarks.core.report import Row, save_plot

INPUT_END: Final = "from the input"
OUTPUT_END: Final = "below the output"
_LESSON: Final = "lesson_8_step_time"
_WARM_UP: Final = 3


@dataclass(frozen=True)
class StepSettings:
    """The network whose steps are measured.

    Attributes:
        layers: dense layers that may be frozen; a last one, the output, always trains.
        units: of each of them, and inputs of the first.
        batch: samples per step.
        repeats: measured steps; the median counts.
    """

    layers: int = 8
    units: int = 512
    batch: int = 256
    repeats: int = 20


class StepRow(NamedTuple):
    """Steps with so many layers frozen.

    Attributes:
        frozen_end: where the frozen layers are: ``from the input``, or ``below the output``.
        frozen_layers: how many.
        layers: how many there are, the output included.
        trainable_parameters: numbers that are trained.
        optimizer_bytes: what Adam keeps.
        matrix_products: that one step needs, forward and backward, counted in its graph.
        step_sec: median, in seconds.
    """

    frozen_end: str
    frozen_layers: int
    layers: int
    trainable_parameters: int
    optimizer_bytes: int
    matrix_products: int
    step_sec: float


def measure_steps(settings: StepSettings) -> list[StepRow]:
    """Freezing saves time as far as it spares gradients.

    A step has one matrix product per layer forward; backward it has one for the gradient of each
    trainable kernel, and one to carry the error through each layer above the lowest trainable
    one. Layers that are frozen from the input on save both; layers that are frozen further up
    save only the former, because the error has to pass them.

    Args:
        settings: the network.

    Returns:
        One row for each number of frozen layers, at either end.
    """
    from parsl_tl.training.runtime import configure_threads

    configure_threads()
    cases = list(_cases(settings.layers))
    models = [_frozen_network(settings, end, count) for end, count in cases]
    x = np.random.default_rng(0).normal(size=(settings.batch, settings.units)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    times: list[list[float]] = [[] for _ in cases]
    # In turns, so that what else the machine does hits all of them.
    for _ in range(_WARM_UP + settings.repeats):
        for model, own in zip(models, times, strict=True):
            start = time.perf_counter()
            model.train_on_batch(x, y)  # gives the loss as a number, so the step is over
            own.append(time.perf_counter() - start)
    return [
        StepRow(
            end,
            count,
            settings.layers + 1,
            sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
            sum(variable.numpy().nbytes for variable in model.optimizer.variables),
            _matrix_products(model, x, y),
            median(own[_WARM_UP:]),
        )
        for (end, count), model, own in zip(cases, models, times, strict=True)
    ]


def _cases(layers: int) -> Iterator[tuple[str, int]]:
    counts = sorted({round(layers * share / 4) for share in range(5)})
    for end in (INPUT_END, OUTPUT_END):
        yield from ((end, count) for count in counts)


def _frozen_network(settings: StepSettings, end: str, count: int) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    stack = [keras.layers.Dense(settings.units, "relu") for _ in range(settings.layers)]
    # Below the output: the last ones of those that may be frozen.
    start = 0 if end == INPUT_END else settings.layers - count
    for layer in stack[start : start + count]:
        layer.trainable = False
    model = keras.Sequential([keras.Input((settings.units,)), *stack, keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=False)
    return model


def _matrix_products(model: Any, x: Any, y: Any) -> int:
    """Counts the matrix products that the loss and the gradients of one step need.

    The graph that is traced has more: TensorFlow leaves out what no result depends on when it runs.
    """
    import tensorflow as tf

    @tf.function  # type: ignore[untyped-decorator]
    def gradients(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    graph = gradients.get_concrete_function(tf.constant(x), tf.constant(y)).graph
    waiting = [tensor.op for tensor in graph.outputs]
    needed: dict[str, Any] = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs] + operation.control_inputs
    return sum(operation.type == "MatMul" for operation in needed.values())


def expected_products(row: StepRow) -> int:
    """Returns how many matrix products a step must have; see ``measure_steps``."""
    lowest = row.frozen_layers if row.frozen_end == INPUT_END else 0
    if row.frozen_end == OUTPUT_END and row.frozen_layers == row.layers - 1:
        lowest = row.layers - 1  # all but the output are frozen
    trainable = row.layers - row.frozen_layers
    return row.layers + trainable + (row.layers - 1 - lowest)


def check_steps(rows: Sequence[StepRow]) -> list[tuple[str, str, bool, str]]:
    """Returns what the rows prove: lesson, statement, whether it holds, what was seen.

    Times are told, and not judged: they depend on what else the machine does.
    """
    wrong = [row for row in rows if row.matrix_products != expected_products(row)]
    counts = ", ".join(str(row.matrix_products) for row in rows)
    none = next(row for row in rows if row.frozen_layers == 0)
    half = {row.frozen_end: row for row in rows if row.frozen_layers == round(none.layers / 2)}
    checks = [
        (_LESSON, "a step needs the matrix products that this leaves", not wrong, counts),
    ]
    if len(half) == 2:
        low, high = half[INPUT_END], half[OUTPUT_END]
        seen = "; ".join(
            f"{what}: {row.matrix_products} products, {1e3 * row.step_sec:.1f} ms"
            for what, row in (("none", none), (INPUT_END, low), (OUTPUT_END, high))
        )
        saves_more = low.matrix_products < high.matrix_products < none.matrix_products
        statement = f"{low.frozen_layers} frozen layers save more at the input's end"
        checks.append((_LESSON, statement, saves_more, seen))
    return checks


def step_table(rows: Sequence[StepRow]) -> list[Row]:
    """Returns the rows as people read them."""
    return [
        {
            "frozen": f"{row.frozen_layers} of {row.layers}, {row.frozen_end}",
            "parameters trained": row.trainable_parameters,
            "optimizer, MB": row.optimizer_bytes / 1e6,
            "matrix products": row.matrix_products,
            "step, ms": 1e3 * row.step_sec,
        }
        for row in rows
    ]


def save_step_plot(rows: Sequence[StepRow], folder: Path) -> Path:
    """Draws the time of a step over the number of frozen layers, for both ends."""

    def draw(axes: Any) -> None:
        for end, line in ((INPUT_END, "o-"), (OUTPUT_END, "s--")):
            points = [
                (row.frozen_layers, 1e3 * row.step_sec) for row in rows if row.frozen_end == end
            ]
            axes.plot(*zip(*points, strict=True), line, label=f"frozen {end}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"frozen layers, of {rows[0].layers}")
        axes.set_ylabel("training step, milliseconds (median)")
        axes.grid(alpha=0.3)
        axes.legend()

    return save_plot(folder / "freeze_steps.png", draw)
