"""Metrics by the short names that people use, which Keras does not all know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

# Areas under curves of one-hot classes are means over classes, as scikit-learn's "macro".
_METRICS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "r2": ("R2Score", {}),
    "auroc": ("AUC", {"curve": "ROC"}),
    "auc_pr": ("AUC", {"curve": "PR"}),
}


def build_metric(metric: str | Callable[..., Any], num_outputs: int = 1) -> Any:
    """Makes what ``keras.Model.compile`` takes as one metric.

    Args:
        metric: ``"r2"``, ``"auroc"``, ``"auc_pr"``, any name that Keras knows, or a metric.
        num_outputs: width of the predictions. Areas under curves of two or more columns are those
            of the last column for two (the positive class), and means over all for more.
    """
    import keras

    if not isinstance(metric, str) or metric not in _METRICS:
        return metric
    class_name, arguments = _METRICS[metric]
    if class_name != "AUC" or num_outputs < 2:
        return getattr(keras.metrics, class_name)(name=metric, **arguments)
    chosen = {"label_weights": [0.0, 1.0]} if num_outputs == 2 else {}
    return keras.metrics.AUC(
        name=metric, multi_label=True, num_labels=num_outputs, **arguments, **chosen
    )
