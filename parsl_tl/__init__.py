"""Federated Parsl tasks for neural architecture search with transfer learning.

Importing this package is cheap: what a name needs is loaded when the name is first used, and
TensorFlow only where a network is built or trained.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph as ArchitectureGraph
    from parsl_tl.architecture import longest_common_prefix as longest_common_prefix
    from parsl_tl.configuration import load_config as load_config
    from parsl_tl.problems import get_problem as get_problem
    from parsl_tl.search import Campaign as Campaign
    from parsl_tl.search import ParslEvaluator as ParslEvaluator
    from parsl_tl.spaces import get_space as get_space
    from parsl_tl.store import open_store as open_store
    from parsl_tl.training import BaseTrainer as BaseTrainer
    from parsl_tl.training import TransferTrainer as TransferTrainer

__version__ = "0.1.0"

_HOMES = {
    "ArchitectureGraph": "parsl_tl.architecture",
    "BaseTrainer": "parsl_tl.training",
    "Campaign": "parsl_tl.search",
    "ParslEvaluator": "parsl_tl.search",
    "TransferTrainer": "parsl_tl.training",
    "get_problem": "parsl_tl.problems",
    "get_space": "parsl_tl.spaces",
    "load_config": "parsl_tl.configuration",
    "longest_common_prefix": "parsl_tl.architecture",
    "open_store": "parsl_tl.store",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    """Loads a public name on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'parsl_tl' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, for completion."""
    return __all__
