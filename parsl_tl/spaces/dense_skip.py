"""Variable dense layers with skip connections (dense-skip-co of DeepHyper's deepspace package)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
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
from parsl_tl.spaces.keras_layers import activation, add, concatenate, dense
from parsl_tl.spaces.old_assemble import takes_heads
from parsl_tl.spaces.sizes import of_size
from parsl_tl.spaces.space import Choice, SearchSpace

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

_SKIP = ("not connected", "connected")
_LAYERS, _LAYERS_OF_SUBNETWORK = 5, 3
_UNITS = (16, 96, 16)
# The published spaces of ATTN and Combo.
_SIZES = {"small": (50, 1975, 25), "large": (2000, 3450, 50)}


class DenseSkipSpace(SearchSpace):
    """Dense layers in sequence, each of which may take in up to ``max_anchors`` earlier outputs.

    A connected anchor is projected to the layer's width by a linear dense layer; projections and
    layer are added and go through relu. With 10 layers there are 10 + 27 choices: the first layer
    has one anchor (the input), the second two, all others three.

    With ``subnetworks``, each input passes layers of its own; what comes out is concatenated and
    passes as many again. The published spaces of Combo and ATTN are of this kind, with three layers
    in each sub-network: 36 choices with three inputs, 18 with one.
    """

    name = "dense-skip"

    def __init__(
        self,
        num_layers: int | None = None,
        units: tuple[int, int, int] | None = None,
        activations: Sequence[str] = ACTIVATIONS,
        max_anchors: int = 3,
        *,
        size: str | None = None,
        subnetworks: bool = False,
        num_inputs: int = 1,
    ) -> None:
        """Defines the space.

        Args:
            num_layers: variable layers in the sequence: 5, or 3 in each sub-network.
            units: smallest width, largest width (included), step: (16, 96, 16).
            activations: from linear, relu, tanh, sigmoid, swish.
            max_anchors: latest outputs that can be connected.
            size: ``small`` for widths from 50 to 1975 by 25, ``large`` for 2000 to 3450 by 50, in
                place of ``units``.
            subnetworks: whether each input passes layers of its own.
            num_inputs: of the problem; needed with sub-networks.

        Raises:
            SpaceError: a value that leaves nothing to choose.
        """
        if num_layers is None:
            num_layers = _LAYERS_OF_SUBNETWORK if subnetworks else _LAYERS
        self.num_layers = check_num_layers(num_layers, self.name)
        if size is not None and units is not None:
            raise SpaceError(f"space {self.name!r} has size={size!r} and units; leave one out")
        units = of_size(size, _SIZES, self.name) if size is not None else units or _UNITS
        self.subnetworks = subnetworks
        if not isinstance(num_inputs, int) or num_inputs < 1:
            raise SpaceError(f"num_inputs={num_inputs!r} of {self.name!r} must be at least 1")
        self.num_inputs = num_inputs
        # Each sub-network by the name of its layers; without sub-networks there is one.
        self._chains = [*(f"input_{i}_" for i in range(num_inputs)), ""] if subnetworks else [""]
        if not isinstance(max_anchors, int) or max_anchors < 1:
            raise SpaceError(f"max_anchors={max_anchors!r} of {self.name!r} must be 1 or more")
        self.max_anchors = max_anchors
        self._labels = dense_labels(units, activations, self.name)

    def _num_anchors(self, layer: int) -> int:
        return min(layer + 1, self.max_anchors)

    def choices(self) -> list[Choice]:
        """Returns, for each layer, its own choice and one for each of its anchors."""
        found = []
        for chain in self._chains:
            for layer in range(self.num_layers):
                found.append(Choice(f"{chain}layer_{layer}", self._labels))
                # Anchor 1 is the layer's own input, 2 the output before that, and so on.
                found.extend(
                    Choice(f"{chain}skip_{layer}_{back}", _SKIP)
                    for back in range(1, self._num_anchors(layer) + 1)
                )
        return found

    def invalidated(self, choice_index: int) -> int:
        """Returns the number of later choices whose layers change.

        A layer's choice changes its own projections (their width) and all that follows; an
        anchor's choice leaves the layer and its other projections as they are.
        """
        in_chain = sum(1 + self._num_anchors(i) for i in range(self.num_layers))
        chain, place = divmod(choice_index, in_chain)
        layer = 0
        while place > self._num_anchors(layer):
            place -= 1 + self._num_anchors(layer)
            layer += 1
        following = sum(1 + self._num_anchors(i) for i in range(layer + 1, self.num_layers))
        # Sub-networks of other inputs stay, the last one stands on all of them.
        following += in_chain if chain < len(self._chains) - 1 else 0
        return following + (self._num_anchors(layer) if place == 0 else 0)

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Returns the dense layers that there are, and how many anchors are connected.

        A layer that is connected to anchors has their number behind it: ``32 relu +2``.
        """
        remaining = iter(self.labels(arch_seq))
        chains = []
        for _ in self._chains:
            parts = []
            for layer in range(self.num_layers):
                label = next(remaining)
                connected = [next(remaining) for _ in range(self._num_anchors(layer))]
                skips = connected.count(_SKIP[1])
                if label != IDENTITY or skips:
                    parts.append(f"{label} +{skips}" if skips else str(label))
            chains.append(", ".join(parts) or "no hidden layer")
        return "; ".join(chains)

    @takes_heads
    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: Sequence[Head],
    ) -> ArchitectureGraph:
        """See ``SearchSpace.assemble``."""
        builder = GraphBuilder()
        remaining = iter(labels)
        if self.subnetworks:
            if len(inputs) != self.num_inputs:
                raise SpaceError(
                    f"space {self.name!r} has sub-networks for {self.num_inputs} inputs, but the "
                    f"problem has {len(inputs)}; give num_inputs={len(inputs)}"
                )
            ends = [
                self._add_chain(builder, add_vector_inputs(builder, [shape], self.name), remaining)
                for shape in inputs
            ]
            tensor = ends[0] if len(ends) == 1 else concatenate(builder, ends)
        else:
            tensor = add_vector_inputs(builder, inputs, self.name)
        tensor = self._add_chain(builder, tensor, remaining)
        return builder.build(add_heads(builder, tensor, heads))

    def _add_chain(
        self, builder: GraphBuilder, tensor: Tensor, remaining: Iterator[str | int | float]
    ) -> Tensor:
        """Adds one sequence of variable layers, of which the labels come next."""
        anchors = deque([tensor], maxlen=self.max_anchors)
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
        return tensor


def _merge(builder: GraphBuilder, tensor: Tensor, anchors: Sequence[Tensor]) -> Tensor:
    if not anchors:
        return tensor
    width = tensor.shape[-1]
    projected = [dense(builder, anchor, width, "linear") for anchor in anchors]
    return activation(builder, add(builder, [tensor, *projected]), "relu")
