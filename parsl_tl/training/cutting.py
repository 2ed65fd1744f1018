"""Training only what follows a frozen prefix, on outputs of the prefix that are computed once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from parsl_tl.problems.data import Array, Arrays
from parsl_tl.training.frozen_prefix import FrozenPrefix, find_frozen_prefix
from parsl_tl.training.kept_outputs import KeptOutputs

if TYPE_CHECKING:
    import keras

CutPrefix = Literal["auto", "always", "off"]
CUT_PREFIX: Final[tuple[CutPrefix, ...]] = ("auto", "always", "off")
"""When the outputs of a frozen prefix are computed once instead of in every step."""

_CHUNK_BYTES: Final = 64 * 2**20
# Keeping a byte of the frontier, and reading it in every epoch, takes as long as so many
# multiplications: seen where convolutions that give 100 kB a row were cut, on a CPU.
_WORK_PER_BYTE: Final = 16
# Keras' own callbacks that do the same whichever model is trained.
_INDIFFERENT: Final = frozenset(
    (
        *("CSVLogger", "EarlyStopping", "LambdaCallback", "LearningRateScheduler"),
        *("ReduceLROnPlateau", "TerminateOnNaN"),
    )
)


class CutModel:
    """A model in two: the frozen prefix, and the rest as a model of the same layers.

    Training the rest trains the whole model, whose layers it has. Random numbers are those that the
    whole model would draw, since each layer keeps its own generator.

    Args:
        model: the whole model.
        prefix: what was found in it.

    Attributes:
        suffix: the rest, a model of what crosses the frontier.
    """

    def __init__(self, model: keras.Model, prefix: FrozenPrefix) -> None:

        numbers = {id(tensor): number for number, tensor in enumerate(model.inputs)}
        self._given = [numbers.get(id(tensor)) for tensor in prefix.frontier]
        self._crossing = [tensor for tensor in prefix.frontier if id(tensor) not in numbers]
        self._inputs = list(model.inputs)
        self._calls = prefix.calls
        self._peak_row_bytes = max(1, prefix.peak_row_bytes)
        self.suffix: keras.Model = _model_of_rest(model, prefix)

    def outputs(self, x: Arrays, least_rows: int, kept: KeptOutputs | None = None) -> Arrays:
        """Computes what crosses the frontier, as far as it is not on the node.

        Args:
            x: inputs of the whole model, as it takes them.
            least_rows: rows to compute at a time at least.
            kept: outputs that were computed for other models, of the same data.

        Returns:
            What ``suffix`` takes in, with as many rows as ``x``.
        """
        import keras

        inputs = keras.tree.flatten(x)
        rows = len(inputs[0])
        step = int(np.clip(_CHUNK_BYTES // self._peak_row_bytes, min(least_rows, rows), rows))
        # Powers of two, so that models whose prefixes differ a little compute in equal steps.
        step = min(rows, 1 << (step - 1).bit_length())
        names: list[str | None] = [None] * len(self._crossing)
        found: list[Any] = [None] * len(self._crossing)
        if kept is not None:
            names = kept.names(self._inputs, self._calls, self._crossing, step)
            found = [kept.find(name, rows) for name in names]
        missing = [number for number, array in enumerate(found) if array is None]
        if missing:
            arrays = self._run(inputs, step, [self._crossing[number] for number in missing])
            for number, array in zip(missing, arrays, strict=True):
                found[number] = array if kept is None else kept.keep(names[number], array)
        each = iter(found)
        crossing = [next(each) if n is None else inputs[n] for n in self._given]
        return tuple(crossing) if len(crossing) > 1 else crossing[0]

    def _run(self, inputs: list[Array], step: int, wanted: list[Any]) -> list[Array]:
        import keras

        rows = len(inputs[0])
        prefix = keras.Model(self._inputs, wanted)
        results: list[Array] = []
        for start in range(0, rows, step):
            here = slice(start, min(start + step, rows))
            # Called, and not compiled: a chunk is large, and tracing takes longer than it.
            parts = prefix([array[here] for array in inputs], training=False)
            arrays = [keras.ops.convert_to_numpy(part) for part in keras.tree.flatten(parts)]
            if not results:
                results = [np.empty((rows, *one.shape[1:]), one.dtype) for one in arrays]
            for result, array in zip(results, arrays, strict=True):
                result[here] = array
        return results


def cut_where_worth_it(
    model: keras.Model, *, when: CutPrefix, rows: int, epochs: int, limit: int
) -> CutModel | None:
    """Cuts a model where its frozen prefix ends, if that saves time.

    Args:
        model: to be trained, with its layers frozen.
        when: ``"auto"`` weighs what is saved against what is read in its place; ``"always"`` cuts
            whatever fits.
        rows: of data, training and validation together.
        epochs: that are trained.
        limit: bytes that may cross the frontier, over all rows.

    Returns:
        The model in two; None leaves it whole.
    """
    if when == "off":
        return None
    prefix = find_frozen_prefix(model)
    if prefix is None or prefix.row_bytes * rows > limit:
        return None
    if when == "auto" and not _is_worth_it(prefix, epochs):
        return None
    return CutModel(model, prefix)


def are_indifferent(callbacks: Iterable[Any]) -> bool:
    """Whether callbacks do the same whichever model is trained; others may look at its layers."""
    return all(
        type(one).__module__.startswith("keras.") and type(one).__name__ in _INDIFFERENT
        for one in callbacks
    )


def _is_worth_it(prefix: FrozenPrefix, epochs: int) -> bool:
    if not any(getattr(call.operation, "weights", ()) for call in prefix.calls):
        return False
    return epochs > 1 and prefix.row_work > _WORK_PER_BYTE * prefix.row_bytes


def _model_of_rest(model: keras.Model, prefix: FrozenPrefix) -> Any:
    """Calls the layers that follow the frontier on inputs in place of what crosses it.

    Keras can make a model from tensors in the midst of another one, but loses the other calls of a
    layer that gives one of them.
    """
    import keras

    inputs = [
        keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=f"frontier_{number}")
        for number, tensor in enumerate(prefix.frontier)
    ]
    known = dict(zip(map(id, prefix.frontier), inputs, strict=True))
    for call in prefix.rest:
        args, kwargs = call.arguments.fill_in(known)
        made = keras.tree.flatten(call.operation(*args, **kwargs))
        known.update(zip(map(id, call.outputs), made, strict=True))
    outputs = keras.tree.map_structure(lambda tensor: known[id(tensor)], model.output)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs)
