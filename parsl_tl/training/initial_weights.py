"""What layers would have begun with, kept until it is known which inherit and are trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


class InitialWeights:
    """Copies of the trainable weights of layers.

    Args:
        layers: that hold weights, by name, before anything came over.
        keep: share of what comes over that ``mix_into`` keeps.
    """

    def __init__(self, layers: Mapping[str, Any], keep: float) -> None:
        self._keep = keep
        self._mixed: set[int] = set()  # layers may share weights
        self._values = {
            name: [(weight, weight.numpy()) for weight in layer.trainable_weights]
            for name, layer in layers.items()
        }

    def mix_into(self, names: Collection[str]) -> None:
        """Replaces a share of some layers' weights by what they would have begun with, once.

        What training does not change as such, statistics of a normalization, stays.

        Args:
            names: of the layers.
        """
        for name in names:
            for weight, initial in self._values.pop(name, ()):
                if id(weight) not in self._mixed:
                    weight.assign(self._keep * weight.numpy() + (1.0 - self._keep) * initial)
                    self._mixed.add(id(weight))
