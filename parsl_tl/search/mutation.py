"""Deprecated: mutation is in ``parsl_tl.spaces.mutation``."""

from parsl_tl.deprecation import warn_renamed
from parsl_tl.spaces.mutation import choice_weights, mutate, random_arch_seq, uniform_weights

__all__ = ["choice_weights", "mutate", "random_arch_seq", "uniform_weights"]

warn_renamed("parsl_tl.search.mutation", "parsl_tl.spaces.mutation")
