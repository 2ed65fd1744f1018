"""The order in which equal models list their layers, however they were written down.

The walk itself is in the native module (``cpp-store/engine/canonical_order.hpp``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.errors import ArchitectureError
from parsl_tl.native import native


class FlatCalls(NamedTuple):
    """Who is called on what, for many graphs in flat arrays.

    Starts have one entry more than there are items, as in CSR. An input layer has one call without
    inputs: the tensor that it gives.

    Attributes:
        layer_starts: int64, where the layers of each graph start.
        call_starts: int64, where the calls of each layer start.
        input_starts: int64, where the inputs of each call start.
        inputs: uint32 [n, 3]: the number of the layer in its graph, of its call, of the tensor.
    """

    layer_starts: NDArray[np.int64]
    call_starts: NDArray[np.int64]
    input_starts: NDArray[np.int64]
    inputs: NDArray[np.uint32]

    @classmethod
    def of(cls, graphs: Sequence[Sequence[Layer]]) -> FlatCalls:
        """Takes the calls of each graph's layers."""
        layer_starts, call_starts, input_starts = [0], [0], [0]
        inputs: list[TensorRef] = []
        for layers in graphs:
            for layer in layers:
                for call in layer.calls:
                    inputs += call.inputs
                    input_starts.append(len(inputs))
                if layer.is_input:
                    input_starts.append(len(inputs))
                call_starts.append(len(input_starts) - 1)
            layer_starts.append(len(call_starts) - 1)
        return cls(
            np.array(layer_starts, np.int64),
            np.array(call_starts, np.int64),
            np.array(input_starts, np.int64),
            np.array(inputs, np.uint32).reshape(-1, 3),
        )


class CanonicalOrder(NamedTuple):
    """Numbers within the whole batch, in the new order.

    Attributes:
        layers: int64, for each place the layer that stands there.
        calls: int64, for each place the call that stands there.
    """

    layers: NDArray[np.int64]
    calls: NDArray[np.int64]

    @property
    def is_kept(self) -> bool:
        """True where everything stands in this order already."""
        return _ascends(self.layers) and _ascends(self.calls)


def canonical_order(
    flat: FlatCalls, output_starts: ArrayLike, outputs: ArrayLike
) -> CanonicalOrder:
    """Finds the order of layers, and of each layer's calls, that equal models share.

    Args:
        flat: the graphs.
        output_starts: int64, where the output tensors of each graph start.
        outputs: uint32 [n, 3], as ``FlatCalls.inputs``.

    Raises:
        ArchitectureError: a call needs its own result.
    """
    try:
        layers, calls = native.canonical_order(
            flat.layer_starts,
            flat.call_starts,
            flat.input_starts,
            flat.inputs.reshape(-1),
            np.asarray(output_starts, np.int64),
            np.asarray(outputs, np.uint32).reshape(-1),
        )
    except ValueError as error:
        raise ArchitectureError(f"the layers do not form a model: {error}") from error
    firsts = np.repeat(flat.layer_starts[:-1], np.diff(flat.layer_starts))
    return CanonicalOrder(layers + firsts, calls)


def reorder_calls(flat: FlatCalls, order: CanonicalOrder) -> FlatCalls:
    """Returns the same graphs with layers and calls in the given order."""
    call_starts = starts_of(np.diff(flat.call_starts)[order.layers])
    input_starts = starts_of(np.diff(flat.input_starts)[order.calls])
    inputs = flat.inputs[_ranges(flat.input_starts[order.calls], input_starts)]
    graph_of_input = np.searchsorted(
        flat.input_starts[flat.call_starts[flat.layer_starts]],
        np.arange(len(inputs)),
        side="right",
    )
    first_layer = flat.layer_starts[graph_of_input - 1]
    old_layer = first_layer + inputs[:, 0]
    old_call = flat.call_starts[old_layer] + inputs[:, 1]
    new_layer = _inverse(order.layers)[old_layer]
    new_call = _inverse(order.calls)[old_call] - call_starts[new_layer]
    moved = np.stack([new_layer - first_layer, new_call, inputs[:, 2]], axis=1)
    return FlatCalls(flat.layer_starts, call_starts, input_starts, moved.astype(np.uint32))


def reorder_layers(
    layers: Sequence[Layer],
    inputs: Sequence[int],
    outputs: Sequence[TensorRef],
) -> tuple[tuple[Layer, ...], tuple[int, ...], tuple[TensorRef, ...], FlatCalls | None]:
    """Brings one graph into canonical order.

    Returns:
        Its layers, the indices of its input layers, its output tensors, and its calls where it has
        been in this order already, as what spaces build is.

    Raises:
        ArchitectureError: a call needs its own result.
    """
    flat = FlatCalls.of([layers])
    order = canonical_order(flat, [0, len(outputs)], outputs)
    if order.is_kept:
        return tuple(layers), tuple(inputs), tuple(outputs), flat
    layer_place = _inverse(order.layers).tolist()
    call_place = _inverse(order.calls).tolist()
    old_starts = flat.call_starts.tolist()
    new_starts = starts_of(np.diff(flat.call_starts)[order.layers]).tolist()

    def moved(ref: TensorRef) -> TensorRef:
        place = layer_place[ref.layer]
        call = call_place[old_starts[ref.layer] + ref.call] - new_starts[place]
        return TensorRef(place, call, ref.tensor)

    ordered = []
    for place, old in enumerate(order.layers.tolist()):
        layer = layers[old]
        numbers = order.calls[new_starts[place] : new_starts[place + 1]] - old_starts[old]
        calls = [] if layer.is_input else [layer.calls[number] for number in numbers]
        ordered.append(
            layer.with_calls(Call(tuple(map(moved, call.inputs)), call.node) for call in calls)
        )
    places = (layer_place[index] for index in inputs)
    return tuple(ordered), tuple(places), tuple(map(moved, outputs)), None


def _ascends(numbers: NDArray[np.int64]) -> bool:
    return bool((numbers == np.arange(len(numbers))).all())


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def starts_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the CSR starts, int64 [n + 1], of items by their counts per graph, layer or call."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _ranges(firsts: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns range after range, each from its first number on and as long as its items are."""
    counts = np.diff(starts)
    return np.repeat(firsts - starts[:-1], counts) + np.arange(starts[-1])
