"""Layers and calls that no output of a model needs: as in Keras, they are no part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parsl_tl.architecture.layer import Call, Layer, TensorRef


def all_calls_are_used(num_calls: int, refs: Iterable[tuple[int, int, int]]) -> bool:
    """Whether a model needs all of its calls.

    Calls form no cycle, so that among those that no output needs there is one that nothing needs.

    Args:
        num_calls: of all layers; an input layer has one.
        refs: the inputs of all calls, and the outputs.
    """
    return len({(layer, call) for layer, call, _ in refs}) == num_calls


def without_unused_layers(
    layers: Sequence[Layer], inputs: Sequence[int], outputs: Sequence[TensorRef]
) -> tuple[Sequence[Layer], Sequence[int], Sequence[TensorRef]]:
    """Leaves out what no output needs, but for input layers.

    Args:
        layers: in any order.
        inputs: indices of the input layers.
        outputs: output tensors.

    Returns:
        The layers that stay, in their order, the inputs and the outputs.
    """
    refs = [ref for layer in layers for call in layer.calls for ref in call.inputs]
    num_calls = sum(1 if layer.is_input else len(layer.calls) for layer in layers)
    if all_calls_are_used(num_calls, (*refs, *outputs)):
        return layers, inputs, outputs
    used = _used_calls(layers, outputs)
    kept = [i for i, calls in enumerate(used) if calls or layers[i].is_input]
    place = {old: new for new, old in enumerate(kept)}
    numbers = [{old: new for new, old in enumerate(sorted(calls))} for calls in used]

    def moved(ref: TensorRef) -> TensorRef:
        call = numbers[ref.layer].get(ref.call, 0)  # an input layer has none
        return TensorRef(place[ref.layer], call, ref.tensor)

    stay = [
        layers[i].with_calls(
            Call(tuple(map(moved, layers[i].calls[number].inputs)), layers[i].calls[number].node)
            for number in numbers[i]
        )
        for i in kept
    ]
    return stay, [place[i] for i in inputs], [moved(ref) for ref in outputs]


def _used_calls(layers: Sequence[Layer], outputs: Sequence[TensorRef]) -> list[set[int]]:
    """Returns the calls of each layer that an output needs."""
    used: list[set[int]] = [set() for _ in layers]
    todo = list(outputs)
    while todo:
        ref = todo.pop()
        layer = layers[ref.layer]
        if layer.is_input or ref.call in used[ref.layer]:
            continue
        used[ref.layer].add(ref.call)
        todo.extend(layer.calls[ref.call].inputs)
    return used
