"""Whether a copy of a model predicts what the model does, on inputs that are drawn for both."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import ExportError

if TYPE_CHECKING:
    import keras

Arrays = list[NDArray[Any]]

_ROWS: Final = 8
# For dimensions that the model leaves open: long enough for kernels and pools.
_OPEN_LENGTH: Final = 16


def example_inputs(model: keras.Model, rows: int = _ROWS, seed: int = 0) -> Arrays:
    """Draws inputs of a model, one array for each of ``model.inputs``.

    Floats are drawn from the standard normal distribution. Integers are 0 or 1, which every
    embedding takes; texts are words that no vocabulary needs to know.

    Args:
        model: Functional or Sequential.
        rows: of each array.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    return [_draw(rng, tensor, rows) for tensor in model.inputs]


def predict(model: keras.Model, inputs: Sequence[NDArray[Any]]) -> Arrays:
    """Returns the outputs of a model for flat inputs, as flat arrays.

    With TensorFlow they are computed on the CPU: GPUs may round products to fewer digits.

    Args:
        model: Functional or Sequential.
        inputs: one array for each of ``model.inputs``.
    """
    import keras

    # With the other backends, weights would have to be moved there as well.
    on_cpu = keras.backend.backend() == "tensorflow"
    with keras.device("cpu:0") if on_cpu else contextlib.nullcontext():
        structured = keras.tree.pack_sequence_as(model.input, list(inputs))
        outputs = keras.tree.flatten(model(structured, training=False))
        return [np.asarray(keras.ops.convert_to_numpy(one)) for one in outputs]


def check_predictions(
    expected: Sequence[NDArray[Any]],
    found: Sequence[NDArray[Any]],
    what: str,
    *,
    relative: float = 1e-5,
    absolute: float = 1e-6,
) -> None:
    """Refuses a copy of a model that predicts otherwise.

    Args:
        expected: outputs of the model.
        found: outputs of the copy for the same inputs.
        what: names the copy in the message.
        relative: tolerance, as a share of each expected value.
        absolute: tolerance beside it.

    Raises:
        ExportError: shapes differ, or values by more than the tolerance.
    """
    shapes, others = [one.shape for one in expected], [one.shape for one in found]
    if shapes != others:
        raise ExportError(f"{what} has outputs of shapes {others}, the model {shapes}; not written")
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        wanted, given = _comparable(one), _comparable(other)
        if not np.allclose(given, wanted, rtol=relative, atol=absolute, equal_nan=True):
            difference = float(np.nanmax(np.abs(given - wanted)))
            raise ExportError(
                f"{what} predicts otherwise than the model: output {number} differs by up to "
                f"{difference:.3g}, where values reach {float(np.nanmax(np.abs(wanted))):.3g}; not "
                "written. A layer that draws random numbers when it predicts does that, and one "
                "whose state the format does not hold"
            )


def _draw(rng: np.random.Generator, tensor: Any, rows: int) -> NDArray[Any]:
    shape = (rows, *(_OPEN_LENGTH if size is None else size for size in tensor.shape[1:]))
    dtype = str(tensor.dtype)
    if dtype == "string":
        return rng.choice(np.array(["", "one", "two"], object), shape)
    if dtype == "bool" or "int" in dtype:
        return rng.integers(0, 2, shape).astype(dtype)
    # numpy knows no bfloat16: the model casts its inputs.
    return rng.normal(size=shape).astype("float32" if dtype == "bfloat16" else dtype)


def _comparable(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(array).astype(np.float64)
