"""Layers that must not be trained, and those among them that change all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from parsl_tl.architecture.keras_weights import variables_of

# Keras' own layers keep what is not trainable as it is, but for these.
_CHANGING_CLASSES = frozenset({"SpectralNormalization"})


class FrozenLayers:
    """Freezes layers, knows which of them changed nevertheless, and thaws them.

    A layer may write to its weights whenever it is called, trainable or not: counters, running
    statistics, ``SpectralNormalization``. Whoever takes such a layer for its donor's is mistaken,
    so what may change is compared with what it was, byte for byte.
    """

    def __init__(self, layers: Mapping[str, Any], names: Collection[str]) -> None:
        """Freezes layers.

        Args:
            layers: all layers of a model that hold weights, by name.
            names: of those to freeze.
        """
        self._layers = {name: layers[name] for name in layers if name in set(names)}
        uses = Counter(id(weight) for layer in layers.values() for weight in layer.weights)
        self._before = {
            name: _contents(layer)
            for name, layer in self._layers.items()
            # Of two layers that share a weight, the other one may change it.
            if may_change(layer) or any(uses[id(weight)] > 1 for weight in layer.weights)
        }
        self._trainable = [
            (part, part.trainable)
            for layer in self._layers.values()
            for part in layer._flatten_layers(include_self=True, recursive=True)
        ]
        self.keep_frozen(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __contains__(self, name: object) -> bool:
        return name in self._layers

    def thaw(self) -> None:
        """Makes trainable what was trainable before."""
        self.keep_frozen(())

    def keep_frozen(self, names: Collection[str]) -> None:
        """Freezes some of the layers, and makes trainable what was trainable in the others."""
        # From the outside to the inside: setting a layer sets all that is in it.
        for part, trainable in self._trainable:
            part.trainable = trainable
        for name in names:
            self._layers[name].trainable = False

    def hold(self, names: Collection[str]) -> list[Any]:
        """Makes trainable what was trainable in frozen layers, to be held by a rate of zero.

        Args:
            names: of all layers that are frozen.

        Returns:
            Their trainable weights. None, and nothing changes, where one of the layers does more
            when it is trainable than to be trained: normalization by the batch, say.
        """
        frozen = [self._layers[name] for name in names]
        self.keep_frozen(())
        if all(map(_is_only_trained, frozen)):
            return [weight for layer in frozen for weight in layer.trainable_weights]
        self.keep_frozen(names)
        return []

    def variables(self) -> list[Any]:
        """Returns the weights of the layers."""
        return [weight for layer in self._layers.values() for weight in layer.weights]

    def changed(self) -> list[str]:
        """Returns the names of the layers whose weights are not what they were."""
        return [
            name for name, before in self._before.items() if _contents(self._layers[name]) != before
        ]


def may_change(layer: Any) -> bool:
    """Returns whether a layer may change its weights when it is called, although it is frozen."""
    return any(
        not type(part).__module__.startswith("keras.")
        or type(part).__name__ in _CHANGING_CLASSES
        or getattr(part, "quantization_mode", None) is not None
        for part in layer._flatten_layers(include_self=True, recursive=True)
    )


def _is_only_trained(layer: Any) -> bool:
    return (
        not may_change(layer)
        and not layer.non_trainable_weights
        and not any(
            getattr(weight, name, None) is not None
            for weight in layer.weights
            for name in ("regularizer", "constraint")
        )
    )


def _contents(layer: Any) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in variables_of(layer)]
