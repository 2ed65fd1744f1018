"""Masks where Keras does not write them: in Sequential models, and in those of Keras 2.

Keras 3 computes the mask of an Embedding or Masking layer with operations that are part of a
Functional model, and writes it among the arguments of each layer that takes one. A model that says
the same without saying it gets these operations here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from parsl_tl.architecture.classes import is_keras_class, is_network, keras_tensor, tensors_of
from parsl_tl.architecture.layer import Call, Layer, TensorRef

_RECURRENT: Final = frozenset({"Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN"})
# Layers that take a mask.
_TAKING: Final = frozenset(
    {*_RECURRENT, "BatchNormalization", "GlobalAveragePooling1D", "Softmax", "TimeDistributed"}
)
# Layers whose output has the mask of their input.
_PASSING: Final = frozenset(
    {
        *("Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dense"),
        *("Dropout", "ELU", "GaussianDropout", "GaussianNoise", "GroupNormalization", "Identity"),
        *("LayerNormalization", "LeakyReLU", "Normalization", "PReLU", "ReLU", "Rescaling"),
        *("Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("TimeDistributed", "UnitNormalization"),
    }
)


def makes_mask(layer: Layer) -> bool:
    """Returns whether a layer starts a mask."""
    return is_keras_class(layer.module, layer.registered_name) and (
        layer.class_name == "Masking"
        or (layer.class_name == "Embedding" and bool(layer.config.get("mask_zero")))
    )


def with_masks(layers: Sequence[Layer]) -> list[Layer]:
    """Returns layers with the masks that Keras computes, and behind them the operations that do.

    A mask that goes into a merge or an attention is left out: that Keras combines masks there is
    not known here, so that such a model may match less.
    """
    if not any(map(makes_mask, layers)):
        return list(layers)
    masks = _Masks(layers)
    masked = [masks.applied(layer) for layer in layers]
    return masked + masks.operations


class _Masks:
    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._names = {layer.name for layer in layers}
        self._made: dict[tuple[Any, ...], TensorRef] = {}
        self.operations: list[Layer] = []

    def applied(self, layer: Layer) -> Layer:
        """Returns a layer whose calls take the masks of their inputs."""
        own = is_keras_class(layer.module, layer.registered_name)
        nested = is_network(layer.class_name, layer.config)
        if not nested and not (own and layer.class_name in _TAKING):
            return layer
        return replace(layer, calls=tuple(map(self._masked, layer.calls)))

    def _masked(self, call: Call) -> Call:
        kwargs = call.node.get("kwargs", {})
        mask = None
        if kwargs.get("mask") is None and self._takes_one(call):
            mask = self._mask(call.inputs[0], len(self._layers))
        if mask is None:
            return call
        tensors = list(tensors_of(call.node))
        refs = {id(tensor): ref for tensor, ref in zip(tensors, call.inputs, strict=True)}
        written = keras_tensor(self._name(mask.layer), 0, 0, [], "bool")
        refs[id(written)] = mask
        node = {**call.node, "kwargs": {**kwargs, "mask": written}}
        return Call(tuple(refs[id(tensor)] for tensor in tensors_of(node)), node)

    @staticmethod
    def _takes_one(call: Call) -> bool:
        args = call.node.get("args", [])
        return len(args) >= 1 and sum(1 for _ in tensors_of(args[0])) == 1

    def _mask(self, ref: TensorRef, left: int) -> TensorRef | None:
        """Returns the mask of a tensor, looking back over at most ``left`` layers."""
        layer = self._layers[ref.layer]
        if layer.is_input or ref.call >= len(layer.calls) or left == 0:
            return None
        call = layer.calls[ref.call]
        if not self._takes_one(call):
            return None
        source = call.inputs[0]
        if makes_mask(layer):
            if layer.class_name == "Embedding":
                return self._operation("NotEqual", {}, source, 0)
            differs = self._operation("NotEqual", {}, source, layer.config.get("mask_value", 0.0))
            return self._operation("Any", {"axis": -1, "keepdims": False}, differs)
        if not is_keras_class(layer.module, layer.registered_name) or ref.tensor != 0:
            return None
        if layer.class_name in _PASSING or self._gives_sequence(layer):
            return self._mask(source, left - 1)
        return None

    @staticmethod
    def _gives_sequence(layer: Layer) -> bool:
        inner = layer.config.get("layer") if layer.class_name == "Bidirectional" else None
        config = inner.get("config", {}) if isinstance(inner, dict) else layer.config
        return layer.class_name in _RECURRENT and bool(config.get("return_sequences"))

    def _operation(
        self, class_name: str, config: dict[str, Any], source: TensorRef, *constants: Any
    ) -> TensorRef:
        key = (class_name, source, constants)
        if key not in self._made:
            name = f"{class_name.lower()}_{len(self.operations)}"
            while name in self._names:
                name += "_"
            self._names.add(name)
            written = keras_tensor(self._name(source.layer), source.call, source.tensor, [])
            node = {"args": [written, *constants], "kwargs": {}}
            self._made[key] = TensorRef(len(self._layers) + len(self.operations), 0, 0)
            self.operations.append(
                Layer(
                    name,
                    class_name,
                    {"name": name, **config},
                    (Call((source,), node),),
                    "keras.src.ops.numpy",
                    class_name,
                )
            )
        return self._made[key]

    def _name(self, index: int) -> str:
        known = len(self._layers)
        return self._layers[index].name if index < known else self.operations[index - known].name
