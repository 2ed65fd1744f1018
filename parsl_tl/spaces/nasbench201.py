"""The search space of NAS-Bench-201 (Dong and Yang, 2020, arXiv:2001.00326)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.head import Head
from parsl_tl.spaces.image_heads import add_image_heads
from parsl_tl.spaces.keras_layers import (
    activation,
    add,
    average_pooling,
    batch_normalization,
    convolution,
    rescaling,
)
from parsl_tl.spaces.space import Choice, SearchSpace

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
_EDGE = re.compile(r"(\w+)~(\d)")


class NASBench201Space(SearchSpace):
    """Cells of four nodes, of which each pair is joined by one of five operations: 5^6 networks.

    A stem of ``channels`` filters, then three stages of ``num_cells`` equal cells; between stages a
    residual block halves the image and doubles the channels. Architecture strings are those of the
    benchmark: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.
    """

    name = "nasbench201"

    def __init__(self, num_cells: int = 5, channels: int = 16) -> None:
        """Defines the space; the defaults are the benchmark's.

        Args:
            num_cells: of each of the three stages.
            channels: of the first stage.

        Raises:
            SpaceError: a number that is not positive.
        """
        for name, value in (("num_cells", num_cells), ("channels", channels)):
            if not isinstance(value, int) or value < 1:
                raise SpaceError(f"{name}={value!r} of space {self.name!r} must be at least 1")
        self.num_cells = num_cells
        self.channels = channels

    def choices(self) -> list[Choice]:
        """Returns one choice for each edge of the cell, in the order of architecture strings."""
        return [Choice(f"edge_{target}_{source}", OPERATIONS) for target, source in _EDGES]

    def arch_str(self, arch_seq: Sequence[int]) -> str:
        """Returns the architecture string of a sequence.

        Raises:
            SpaceError: a sequence that does not fit the space.
        """
        labels = dict(zip(_EDGES, self.labels(arch_seq), strict=True))
        nodes = (
            "".join(f"{labels[target, source]}~{source}|" for source in range(target))
            for target in (1, 2, 3)
        )
        return "+".join(f"|{node}" for node in nodes)

    def arch_seq_of(self, arch_str: str) -> list[int]:
        """Returns the sequence of an architecture string.

        Raises:
            SpaceError: it is no such string.
        """
        found = _EDGE.findall(arch_str)
        if all(operation in OPERATIONS for operation, _ in found):
            arch_seq = [OPERATIONS.index(operation) for operation, _ in found]
            if len(arch_seq) == len(_EDGES) and self.arch_str(arch_seq) == arch_str:
                return arch_seq
        raise SpaceError(
            f"{arch_str!r} is no architecture of space {self.name!r}; it must be "
            f"|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of {', '.join(OPERATIONS)}"
        )

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Returns the architecture string."""
        return self.arch_str(arch_seq)

    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: list[Head],
    ) -> ArchitectureGraph:
        """See ``SearchSpace.assemble``."""
        if len(inputs) != 1 or len(inputs[0]) != 3:
            raise SpaceError(
                f"space {self.name!r} takes one image (height, width, channels), but the inputs "
                f"are {inputs}"
            )
        builder = GraphBuilder()
        operations = {edge: str(label) for edge, label in zip(_EDGES, labels, strict=True)}
        tensor = _convolution(builder, builder.input(inputs[0]), self.channels, 3)
        tensor = batch_normalization(builder, tensor)
        for stage in range(3):
            if stage:
                tensor = _residual_block(builder, tensor, self.channels * 2**stage)
            for _ in range(self.num_cells):
                tensor = _cell(builder, tensor, operations)
        tensor = activation(builder, batch_normalization(builder, tensor), "relu")
        return builder.build(add_image_heads(builder, tensor, heads))


def _cell(builder: GraphBuilder, tensor: Tensor, operations: dict[tuple[int, int], str]) -> Tensor:
    nodes = [tensor]
    for target in (1, 2, 3):
        taken = [
            _operation(builder, nodes[source], operations[target, source])
            for source in range(target)
            if operations[target, source] != "none"
        ]
        if not taken:
            taken = [rescaling(builder, tensor, 0.0)]  # nothing comes in: zeros
        nodes.append(taken[0] if len(taken) == 1 else add(builder, taken))
    return nodes[-1]


def _operation(builder: GraphBuilder, tensor: Tensor, name: str) -> Tensor:
    if name == "avg_pool_3x3":
        return average_pooling(builder, tensor, 3, strides=1, padding="same")
    if name == "skip_connect":
        return tensor
    kernel = 1 if name == "nor_conv_1x1" else 3
    return _relu_conv_norm(builder, tensor, tensor.shape[-1], kernel)


def _residual_block(builder: GraphBuilder, tensor: Tensor, channels: int) -> Tensor:
    """Halves the image and doubles the channels."""
    inner = _relu_conv_norm(builder, tensor, channels, 3, strides=2)
    inner = _relu_conv_norm(builder, inner, channels, 3)
    around = average_pooling(builder, tensor, 2, padding="same")
    return add(builder, [_convolution(builder, around, channels, 1), inner])


def _relu_conv_norm(
    builder: GraphBuilder, tensor: Tensor, filters: int, kernel: int, strides: int = 1
) -> Tensor:
    tensor = activation(builder, tensor, "relu")
    return batch_normalization(builder, _convolution(builder, tensor, filters, kernel, strides))


def _convolution(
    builder: GraphBuilder, tensor: Tensor, filters: int, kernel: int, strides: int = 1
) -> Tensor:
    return convolution(
        builder, tensor, filters, kernel, strides=strides, padding="same", use_bias=False
    )
