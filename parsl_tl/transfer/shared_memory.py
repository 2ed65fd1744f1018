"""Setting weights without a copy: TensorFlow uses the memory that a transfer method hands over.

A store hands over views of its files. Copying them into new memory of Keras' would take most of a
transfer's time, and every process of a node would hold a copy of its own of the layers that it
freezes. TensorFlow computes with the views instead, as with any tensor that is assigned to a
variable. It writes to a variable's memory only while nobody else refers to that tensor; as long as
the layer lives, this module does. So weights that are trained after all are copied at their first
update, and what the views show stays as it is.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.architecture.keras_weights import variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What TensorFlow's kernels expect of a tensor's address.
_ALIGNMENT = 64
# Below this a copy costs no more than a reference.
_LEAST_BYTES = 1 << 14

# The tensors that a layer's weights lie in.
_held: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()


def set_weights(layer: Any, arrays: Sequence[NDArray[Any]]) -> None:
    """Sets all weights of a layer; arrays that lie suitably are used in place.

    Args:
        layer: a Keras layer.
        arrays: one per weight, of its shape and dtype, in the order of ``variables_of``. Nobody may
            write to them any more.
    """
    held = []
    for variable, array in zip(variables_of(layer), arrays, strict=True):
        is_here = _is_on_this_host(variable)
        tensor = tensor_over(array) if is_here else None
        value = array if tensor is None else tensor
        if is_here and array.dtype == np.float32 and variable.dtype == "float32":
            # Keras would convert and compare first, which takes longer than to assign, and is of
            # use for types that TensorFlow and numpy call by other names.
            variable.value.assign(value, read_value=False)
        else:
            variable.assign(value)
        if tensor is not None:
            held.append(tensor)
    _held[layer] = held


class _Memory:
    """An array's memory, for NumPy to look at as if it could be written to."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # keeps the memory
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def tensor_over(array: NDArray[Any]) -> Any:
    """Returns a TensorFlow tensor in the array's memory; None if it cannot lie there.

    Args:
        array: to which nobody writes any more.
    """
    if array.nbytes < _LEAST_BYTES or array.dtype.kind not in "fiu":
        return None
    if array.dtype.isbuiltin != 1:  # an 8-bit float is of kind f, and numpy cannot hand it over
        return None
    if array.ctypes.data % _ALIGNMENT or not array.flags.c_contiguous:
        return None
    import tensorflow as tf

    # The format in which memory is handed over has no word for read-only.
    writable = np.asarray(_Memory(array))
    return tf.experimental.dlpack.from_dlpack(writable.__dlpack__())


def _is_on_this_host(variable: Any) -> bool:
    import keras

    # A GPU's memory is filled by a copy anyway.
    return keras.backend.backend() == "tensorflow" and "CPU" in variable.value.device
