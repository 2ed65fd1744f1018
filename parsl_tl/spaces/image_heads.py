"""Heads on networks that end in an image."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.spaces.head import Head, add_head
from parsl_tl.spaces.keras_layers import global_average_pooling


def add_image_heads(builder: GraphBuilder, body: Tensor, heads: Sequence[Head]) -> list[Tensor]:
    """Adds heads: vectors on the mean of each channel, images (a mask) on every place.

    Args:
        builder: of the graph.
        body: the network's last image.
        heads: the outputs.

    Raises:
        SpaceError: an image of another size than the body's.
    """
    means = None
    outputs = []
    for head in heads:
        if len(head.shape) > 1:
            outputs.append(add_head(builder, body, head))
        else:
            means = means or global_average_pooling(builder, body)
            outputs.append(add_head(builder, means, head))
    return outputs
