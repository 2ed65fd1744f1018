"""Loss and metrics over batches, traced once in a process instead of once for each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from parsl_tl.problems import Data, Problem
from parsl_tl.problems.targets import targets_of

if TYPE_CHECKING:
    import keras

_known: WeakKeyDictionary[Problem, SharedMetrics] = WeakKeyDictionary()


class SharedMetrics:
    """The mean loss and the metrics of a problem with one output, over batches.

    What metrics do with targets and predictions takes more operations than a small network, and is
    the same for every network.

    Args:
        problem: whose metrics they are.
        data: the problem's.
    """

    def __init__(self, problem: Problem, data: Data) -> None:
        import keras
        import tensorflow as tf

        (head,) = problem.output_heads()
        outputs = keras.Input(head.shape)
        # Keras makes metrics of names only for a model.
        judge = keras.Model(outputs, keras.layers.Identity()(outputs))
        judge.compile(metrics=problem.build_metrics())
        create_metrics(judge, problem, data)
        loss_mean = keras.metrics.Mean(name="loss")

        def reset() -> None:
            loss_mean.reset_state()
            judge.reset_metrics()

        def update(y: Any, predicted: Any, loss: Any) -> None:
            loss_mean.update_state(loss, sample_weight=tf.shape(y)[0])
            judge.compute_metrics(None, y, predicted, sample_weight=None)

        def result() -> dict[str, Any]:
            return {**judge.get_metrics_result(), "loss": loss_mean.result()}

        self._reset, self.update, self._result = (
            tf.function(function, autograph=False, reduce_retracing=True)
            for function in (reset, update, result)
        )

    def reset(self) -> None:
        """Forgets all batches."""
        self._reset()

    def result(self) -> Mapping[str, float]:
        """Returns what the batches since then amount to, by name."""
        return {name: float(value) for name, value in self._result().items()}


def shared_metrics(problem: Problem, data: Data) -> SharedMetrics:
    """Returns the metrics of a problem with one output; a process makes them once."""
    if problem not in _known:
        _known[problem] = SharedMetrics(problem, data)
    return _known[problem]


def create_metrics(model: keras.Model, problem: Problem, data: Data) -> None:
    """Creates the variables of a compiled model's metrics, which tracing would create too late."""
    import keras

    heads = problem.output_heads()
    first = [y[:1] for y in targets_of(data.y_train, heads)]
    zeros = [keras.ops.zeros((1, *head.shape)) for head in heads]
    several = len(heads) > 1
    model.compute_metrics(
        None,
        first if several else first[0],
        zeros if several else zeros[0],
        sample_weight=None,
    )
    model.reset_metrics()
