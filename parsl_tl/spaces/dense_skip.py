"""Variable dense layers with skip connections (dense-skip-co of DeepHyper's deepspace package)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.dense_choices import (
    ACTIVATIONS,
    IDENTITY,
    add_vector_inputs,
    apply_dense,
    check_num_layers,
    dense_labels,
)
from parsl_tl.spaces.head import Head, add_heads
from parsl_tl.spaces.keras_layers import activation, add, dense
from parsl_tl.spaces.old_assemble import takes_heads
from parsl_tl.spaces.space import Choice, SearchSpace

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

_SKIP = ("not connected", "connected")


class DenseSkipSpace(SearchSpace):
    """Dense layers in sequence, each of which may take in up to ``max_anchors`` earlier outputs.

    A connected anchor is projected to the layer's width by a linear dense layer; projections and
    layer are added and go through relu. With 10 layers there are 10 + 27 choices: the first layer
    has one anchor (the input), the second two, all others three.
    """

    name = "dense-skip"

    def __init__(
        self,
        num_layers: int = 5,
        units: tuple[int, int, int] = (16, 96, 16),
        activations: Sequence[str] = ACTIVATIONS,
        max_anchors: int = 3,
    ) -> None:
        """Defines the space.

        Args:
            num_layers: variable layers in the sequence.
            units: smallest width, largest width (included), step.
            activations: from linear, relu, tanh, sigmoid, swish.
            max_anchors: latest outputs that can be connected.

        Raises:
            SpaceError: a value that leaves nothing to choose.
        """
        self.num_layers = check_num_layers(num_layers, self.name)
        if not isinstance(max_anchors, int) or max_anchors < 1:
            raise SpaceError(f"max_anchors={max_anchors!r} of {self.name!r} must be 1 or more")
        self.max_anchors = max_anchors
        self._labels = dense_labels(units, activations, self.name)

    def _num_anchors(self, layer: int) -> int:
        return min(layer + 1, self.max_anchors)

    def choices(self) -> list[Choice]:
        """Returns, for each layer, its own choice and one for each of its anchors."""
        found = []
        for layer in range(self.num_layers):
            found.append(Choice(f"layer_{layer}", self._labels))
            # Anchor 1 is the layer's own input, 2 the output before that, and so on.
            found.extend(
                Choice(f"skip_{layer}_{back}", _SKIP)
                for back in range(1, self._num_anchors(layer) + 1)
            )
        return found

    def invalidated(self, choice_index: int) -> int:
        """Returns the number of later choices whose layers change.

        A layer's choice changes its own projections (their width) and all that follows; an
        anchor's choice leaves the layer and its other projections as they are.
        """
        name = self._choices[choice_index].name
        layer = int(name.split("_")[1])
        following = sum(1 + self._num_anchors(i) for i in range(layer + 1, self.num_layers))
        return following + (self._num_anchors(layer) if name.startswith("layer") else 0)

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Returns the dense layers that there are, and how many anchors are connected.

        A layer that is connected to anchors has their number behind it: ``32 relu +2``.
        """
        remaining = iter(self.labels(arch_seq))
        parts = []
        for layer in range(self.num_layers):
            label = next(remaining)
            connected = [next(remaining) for _ in range(self._num_anchors(layer))]
            skips = connected.count(_SKIP[1])
            if label != IDENTITY or skips:
                parts.append(f"{label} +{skips}" if skips else str(label))
        return ", ".join(parts) or "no hidden layer"

    @takes_heads
    def assemble(
        self, labels: Sequence[str | int], inputs: list[tuple[int, ...]], heads: Sequence[Head]
    ) -> ArchitectureGraph:
        """See ``SearchSpace.assemble``."""
        builder = GraphBuilder()
        tensor = add_vector_inputs(builder, inputs, self.name)
        anchors = deque([tensor], maxlen=self.max_anchors)
        remaining = iter(labels)
        for layer in range(self.num_layers):
            tensor = apply_dense(builder, tensor, next(remaining))
            connected = [next(remaining) for _ in range(self._num_anchors(layer))]
            chosen = [
                anchor
                for anchor, label in zip(reversed(anchors), connected, strict=True)
                if label == _SKIP[1]
            ]
            tensor = _merge(builder, tensor, chosen)
            anchors.append(tensor)
        return builder.build(add_heads(builder, tensor, heads))


def _merge(builder: GraphBuilder, tensor: Tensor, anchors: Sequence[Tensor]) -> Tensor:
    if not anchors:
        return tensor
    width = tensor.shape[-1]
    projected = [dense(builder, anchor, width, "linear") for anchor in anchors]
    return activation(builder, add(builder, [tensor, *projected]), "relu")
