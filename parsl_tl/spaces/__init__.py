"""Search spaces: a list of named choices, and how a sequence of decisions becomes a graph."""

from parsl_tl.spaces.dense_skip import DenseSkipSpace
from parsl_tl.spaces.feed_forward import FeedForwardSpace
from parsl_tl.spaces.head import Head, add_head, add_heads, apply_head, apply_heads
from parsl_tl.spaces.hyperparameters import WithHyperparameters
from parsl_tl.spaces.registry import get_space, list_spaces
from parsl_tl.spaces.space import Choice, SearchSpace, Shapes

__all__ = [
    "Choice",
    "DenseSkipSpace",
    "FeedForwardSpace",
    "Head",
    "SearchSpace",
    "Shapes",
    "WithHyperparameters",
    "add_head",
    "add_heads",
    "apply_head",
    "apply_heads",
    "get_space",
    "list_spaces",
]
