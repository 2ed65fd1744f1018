"""Searching: regularized evolution with expiry, evaluations as Parsl tasks, campaigns."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_tl.search.campaign import Campaign as Campaign
    from parsl_tl.search.evaluator import ParslEvaluator as ParslEvaluator
    from parsl_tl.search.regularized_evolution import (
        ExpiringRegularizedEvolution as ExpiringRegularizedEvolution,
    )

__all__ = ["Campaign", "ExpiringRegularizedEvolution", "ParslEvaluator"]

_HOMES = {
    "Campaign": "parsl_tl.search.campaign",
    "ExpiringRegularizedEvolution": "parsl_tl.search.regularized_evolution",
    "ParslEvaluator": "parsl_tl.search.evaluator",
}


def __getattr__(name: str) -> Any:
    """Loads a public name on first use: DeepHyper alone takes seconds to import."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'parsl_tl.search' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
