"""What makes a prefix long: the options of a query, checked, as the engine takes them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError
from parsl_tl.store.fingerprint import check_fingerprints
from parsl_tl.store.model_id import check_model_id

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

ScoreBy = Literal["layers", "bytes"] | Mapping[str, float]
"""What makes a prefix long: layers, bytes of weights, or weights by class."""

_MOST_WEIGHT = 1e6


def query_options(
    by: ScoreBy,
    quality_rate: float,
    min_quality: float | None,
    exclude: Collection[int],
    fingerprints: Collection[int] | None,
) -> dict[str, Any]:
    """Returns the options of a query as the engine takes them."""
    if not isinstance(by, Mapping) and by not in ("layers", "bytes"):
        raise InvalidValueError(
            f"by={by!r}; choose 'layers', 'bytes', or weights such as {{'Dense': 1.0}}"
        )
    if isinstance(by, Mapping):
        for name, weight in by.items():
            if not 0 <= weight <= _MOST_WEIGHT:  # false for NaN too
                raise InvalidValueError(
                    f"by={{{name!r}: {weight!r}}}: a weight must lie between 0 and a million"
                )
    if not 0 <= quality_rate < math.inf:
        raise InvalidValueError(
            f"quality_rate={quality_rate!r} must be a finite number of at least 0"
        )
    if min_quality is not None and math.isnan(min_quality):
        raise InvalidValueError("min_quality is NaN; give a number, or None for no limit")
    return {
        "by": "weights" if isinstance(by, Mapping) else by,
        "quality_rate": float(quality_rate),
        "min_quality": min_quality,
        "exclude": {check_model_id(model_id) for model_id in exclude},
        "fingerprints": check_fingerprints(fingerprints),
    }


def class_weights(graphs: Sequence[ArchitectureGraph], by: ScoreBy) -> NDArray[np.float64]:
    """Returns what each layer counts; nothing unless classes are weighted."""
    if not isinstance(by, Mapping):
        return np.empty(0)
    counts = (float(by.get(layer.class_name, 0.0)) for graph in graphs for layer in graph.layers)
    return np.fromiter(counts, np.float64)
