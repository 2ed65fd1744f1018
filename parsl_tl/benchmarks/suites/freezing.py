"""The tutorial on freezing as a benchmark: all lessons, and the time of a training step.

What freezing does to that time depends on which end is frozen. The lessons are the sections of
``freezing_lessons.md``: a title, what it explains, and code with a check for every statement.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.suite import Frames, Progress, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.reporting.frame_plots import Plot

INPUT_END: Final = "from the input"
OUTPUT_END: Final = "below the output"
LAST_LESSON: Final = "lesson_8_step_time"
_PAGE: Final = Path(__file__).with_name("freezing_lessons.md")
_BLOCK: Final = re.compile(r"\n```python\n(.*?)```\n", re.DOTALL)
_WARM_UP: Final = 3


class Check(NamedTuple):
    """A statement of a lesson, whether it holds here, and what was seen if that is more."""

    lesson: str
    statement: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class StepSettings:
    """The network whose steps are measured; a last layer, the output, always trains."""

    layers: int = option(8, "dense layers that may be frozen", least=2)
    units: int = option(512, "of each of them, and inputs of the first", least=1)
    batch: int = option(256, "samples per step", least=1)
    repeats: int = option(20, "measured steps; the median counts", least=1)


class StepRow(NamedTuple):
    """Steps with so many layers frozen, at one end, of all ``layers``, the output included."""

    frozen_end: str
    frozen_layers: int
    layers: int
    trainable_parameters: int
    optimizer_bytes: int  # what Adam keeps
    matrix_products: int  # that one step needs, forward and backward, counted in its graph
    step_sec: float  # the median


@dataclass(frozen=True)
class FreezeSuite(Suite):
    """All lessons, each a task; one that fails becomes a check that does not hold."""

    name = "freeze"
    label = "lessons"
    text = "freezing and unfreezing layers in Keras 3, lesson by lesson"
    out = "runs/freeze"
    has_tasks = True

    steps: StepSettings = nested(StepSettings(), "the network whose steps are measured")
    where: Where = nested(Where(), "where it runs")

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``freeze_checks`` and ``freeze_steps``; see ``Check`` and ``StepRow``."""
        tasks: dict[str, tuple[Any, Any]] = {name: (checks_of, name) for name in lessons()}
        tasks[LAST_LESSON] = (measure_steps, self.steps)
        calls = [(name.replace("_", " "), do, (given,)) for name, (do, given) in tasks.items()]
        checks: list[Check] = []
        steps: list[StepRow] = []
        for name, result in zip(tasks, run_each(self.where, calls, progress), strict=True):
            if isinstance(result, str):
                checks.append(Check(name, "the lesson runs to its end", False, result))
            elif name == LAST_LESSON:
                steps = result
                checks += check_steps(steps)
            else:
                checks += result
        return {
            "freeze_checks": [row._asdict() for row in checks],
            "freeze_steps": [row._asdict() for row in steps],
        }

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns the steps as people read them."""
        if "freeze_steps" not in frames:
            return []
        rows = frames["freeze_steps"]
        share = rows.frozen_layers.astype(str) + " of " + rows.layers.astype(str)
        columns = {"frozen": share + ", " + rows.frozen_end}
        columns["parameters trained"] = rows.trainable_parameters
        columns["optimizer, MB"] = rows.optimizer_bytes / 1e6
        columns["matrix products"] = rows.matrix_products
        columns["step, ms"] = 1e3 * rows.step_sec
        return [("One training step", pd.DataFrame(columns))]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns the time of a step over the number of frozen layers, for both ends."""
        if "freeze_steps" not in frames:
            return []
        rows = frames["freeze_steps"]
        frame = rows.pivot(index="frozen_layers", columns="frozen_end", values="step_sec") * 1e3
        across = f"frozen layers, of {rows.layers[0]}"
        label = "training step, milliseconds (median)"
        return [Plot("freeze_steps", "", frame, label, "line", across=across)]

    def remarks(self, frames: Frames) -> list[str]:
        """Returns each lesson's text, and below it each statement with what was seen."""
        texts = {name: text for name, (text, _) in lessons().items()}
        texts[LAST_LESSON] = inspect.cleandoc(measure_steps.__doc__ or "")
        lines = []
        for name, checks in frames["freeze_checks"].groupby("lesson", sort=False):
            title, _, body = texts[str(name)].partition("\n\n")
            lines += ["", title, "=" * len(title), "", body, ""]
            for found in checks.itertuples():
                seen = f": {found.seen}" if found.seen else ""
                lines.append(f"  {'yes' if found.holds else 'NO '} {found.statement}{seen}")
        return lines

    def failures(self, frames: Frames) -> list[str]:
        """Returns the statements that do not hold."""
        return list(frames["freeze_checks"].query("not holds").statement)


def lessons() -> dict[str, tuple[str, list[str]]]:
    """Returns by the name of each lesson its text, and its code behind that of all."""
    begin, *sections = _PAGE.read_text(encoding="utf-8").split("\n## ")
    found = {}
    for section in sections:
        name, _, text = section.partition("\n\n")
        code = _BLOCK.findall(begin) + _BLOCK.findall(text)
        found[name.lower().replace(" ", "_")] = (_BLOCK.sub("", text).strip(), code)
    return found


def checks_of(lesson: str) -> list[Check]:
    """Runs the code of a lesson."""
    found: list[Check] = []

    def check(statement: str, holds: object, seen: object = "") -> None:
        found.append(Check(lesson, statement, bool(holds), str(seen)))

    namespace: dict[str, Any] = {}
    for code in lessons()[lesson][1]:
        exec(compile(code, f"{_PAGE}: {lesson}", "exec"), namespace)
        namespace["check"] = check  # in place of the page's own
    return found


def measure_steps(settings: StepSettings) -> list[StepRow]:
    """Freezing saves time as far as it spares gradients.

    A step has one matrix product per layer forward; backward it has one for the gradient of each
    trainable kernel, and one to carry the error through each layer above the lowest trainable
    one. Layers that are frozen from the input on save both; layers that are frozen further up
    save only the former, because the error has to pass them.
    """
    from parsl_tl.training.runtime import configure_threads

    configure_threads()
    counts = sorted({round(settings.layers * share / 4) for share in range(5)})
    cases = [(end, count) for end in (INPUT_END, OUTPUT_END) for count in counts]
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
            *(end, count, settings.layers + 1),
            trainable_parameters=sum(int(np.prod(w.shape)) for w in model.trainable_weights),
            optimizer_bytes=sum(kept.numpy().nbytes for kept in model.optimizer.variables),
            matrix_products=_matrix_products(model, x, y),
            step_sec=median(own[_WARM_UP:]),
        )
        for (end, count), model, own in zip(cases, models, times, strict=True)
    ]


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
    ends = [tensor.op.name for tensor in graph.outputs]
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ends)
    return sum(node.op == "MatMul" for node in needed.node)


def _expected_products(row: StepRow) -> int:
    """Returns how many matrix products a step must have; see ``measure_steps``."""
    lowest = row.frozen_layers if row.frozen_end == INPUT_END else 0
    if row.frozen_end == OUTPUT_END and row.frozen_layers == row.layers - 1:
        lowest = row.layers - 1  # all but the output are frozen
    trainable = row.layers - row.frozen_layers
    return row.layers + trainable + (row.layers - 1 - lowest)


def check_steps(rows: Sequence[StepRow]) -> list[Check]:
    """Returns what the rows prove; times depend on what else the machine does, and do not."""
    right = all(row.matrix_products == _expected_products(row) for row in rows)
    counts = ", ".join(str(row.matrix_products) for row in rows)
    statement = "a step needs the matrix products that this leaves"
    checks = [Check(LAST_LESSON, statement, right, counts)]
    none = next(row for row in rows if row.frozen_layers == 0)
    half = [row for row in rows if row.frozen_layers == round(none.layers / 2)]
    if len(half) == 2:
        low, high = half
        seen = "; ".join(
            f"{what}: {row.matrix_products} products, {1e3 * row.step_sec:.1f} ms"
            for what, row in (("none", none), *((row.frozen_end, row) for row in half))
        )
        saves_more = low.matrix_products < high.matrix_products < none.matrix_products
        statement = f"{low.frozen_layers} frozen layers save more at the input's end"
        checks.append(Check(LAST_LESSON, statement, saves_more, seen))
    return checks
