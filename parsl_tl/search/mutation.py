"""Deprecated: mutation is in ``parsl_tl.spaces.mutation``."""

import warnings

from parsl_tl.spaces.mutation import choice_weights, mutate, random_arch_seq, uniform_weights

__all__ = ["choice_weights", "mutate", "random_arch_seq", "uniform_weights"]

warnings.warn(
    "parsl_tl.search.mutation is parsl_tl.spaces.mutation now; the old name goes with the next "
    "release",
    DeprecationWarning,
    stacklevel=2,
)
