"""Confidence intervals of means over independent trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError


class Interval(NamedTuple):
    """A mean, and where the true one is with the confidence that was asked for.

    Attributes:
        mean: over trials.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def mean_interval(
    trials: Sequence[NDArray[np.integer | np.bool_]], confidence: float, bounds: tuple[float, float]
) -> Interval:
    """Returns Student's interval for the mean, from the means of independent trials.

    What was measured within a trial may depend on each other (candidates that meet one
    population), so that only the trials count as independent: the standard error is that of the
    trials' means, with one degree of freedom less than there are trials. Where the trials did not
    differ at all, there may still be something of size 1 that happens in some; it is rarer than
    what would have been missed so often with the probability that is left (the "rule of three":
    J. Hanley and A. Lippman-Hand, JAMA 249(13), 1983).

    Args:
        trials: measurements of each trial, all of the same number; at least two trials.
        confidence: between 0 and 1.
        bounds: no mean can be outside.

    Raises:
        InvalidValueError: fewer than two trials, or no such confidence.
    """
    check_confidence(confidence)
    if len(trials) < 2:
        raise InvalidValueError(f"{len(trials)} trials tell no interval; at least 2 are needed")
    means = np.array([trial.mean() for trial in trials], np.float64)
    found = student_interval(means, confidence)
    if np.ptp(means) == 0:
        reach = 1 - ((1 - confidence) / 2) ** (1 / len(means))
        found = Interval(found.mean, found.mean - reach, found.mean + reach)
    return Interval(found.mean, max(found.low, bounds[0]), min(found.high, bounds[1]))


def student_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """Returns Student's interval for the mean of independent values; NaN ends for a single one.

    Args:
        values: [n], at least one.
        confidence: between 0 and 1.

    Raises:
        InvalidValueError: no such confidence.
    """
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    reach = _student_quantile(check_confidence(confidence), len(values) - 1)
    reach *= float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - reach, mean + reach)


def check_confidence(confidence: float) -> float:
    """Returns the confidence.

    Raises:
        InvalidValueError: it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InvalidValueError(f"confidence {confidence!r} must be between 0 and 1, such as 0.95")
    return confidence


def _student_quantile(confidence: float, degrees: int) -> float:
    from scipy.stats import t  # type: ignore[import-untyped]

    return float(t.ppf((1 + confidence) / 2, degrees))
