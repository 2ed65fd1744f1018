"""Tables of the birthday problem: expected lengths over n, probabilities of lengths, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from parsl_tl.analysis.birthday_trials import Lengths
from parsl_tl.analysis.closed_form import ClosedForm, expected_length

CLOSED_FORM, MONTE_CARLO, MEASURED = "closed form", "Monte Carlo", "measured"
# Prefixes that are rarer than this are left out of the closed form's table.
_RARE = 1e-6
Measurements = Sequence[tuple[str, Lengths]]


def expected_table(
    form: ClosedForm | None, sizes: Sequence[int], measurements: Measurements, confidence: float
) -> pd.DataFrame:
    """Returns the expected longest prefix for every method and number of stored architectures.

    Columns: ``method``; ``population``; ``candidates``; ``n``; ``mean`` with ``low`` and ``high``;
    ``share`` of the candidate's layers; ``trials``; ``measurements`` in all; ``interval``:
    ``exact``, ``populations`` (over independent populations), or ``candidates`` (over candidates
    that met one population).

    Args:
        form: the closed form, None where there is none.
        sizes: numbers of stored architectures, for the closed form.
        measurements: method and what it measured.
        confidence: of the intervals.
    """
    rows: list[dict[str, Any]] = []
    for size in sizes if form is not None else ():
        assert form is not None
        mean = expected_length(form, size)
        rows.append({**_labels(CLOSED_FORM, "random", "random", size), "interval": "exact"})
        rows[-1].update(mean=mean, low=mean, high=mean)
    for method, lengths in measurements:
        interval = lengths.mean(confidence)
        rows.append(
            {
                **_labels(method, lengths.population, lengths.candidates, lengths.num_stored),
                **interval._asdict(),
                "share": interval.mean / lengths.total,
                "trials": len(lengths.trials),
                "measurements": sum(map(len, lengths.trials)),
                "interval": "candidates" if lengths.same_population else "populations",
            }
        )
    order = ["method", "population", "candidates", "n", "mean", "low", "high", "share"]
    frame = pd.DataFrame(rows, columns=[*order, "trials", "measurements", "interval"])
    return frame.astype({"trials": "Int64", "measurements": "Int64"})


def probability_table(
    form: ClosedForm | None,
    sizes: Sequence[int],
    measurements: Measurements,
    confidence: float,
    always: int,
) -> pd.DataFrame:
    """Returns how likely a prefix of at least each length is.

    Columns: ``method``; ``population``; ``candidates``; ``n``; ``length``; ``probability`` with
    ``low`` and ``high``.

    Args:
        form: see ``expected_table``.
        sizes: see ``expected_table``.
        measurements: see ``expected_table``.
        confidence: see ``expected_table``.
        always: a prefix of this length is certain; longer ones have rows.
    """
    rows: list[dict[str, Any]] = []
    for size in sizes if form is not None else ():
        assert form is not None
        tail = form.tail(size)
        labels = _labels(CLOSED_FORM, "random", "random", size)
        for length in np.flatnonzero(tail >= _RARE).tolist()[always + 1 :]:
            chance = float(tail[length])
            rows.append(
                {**labels, "length": length, "probability": chance, "low": chance, "high": chance}
            )
    for method, lengths in measurements:
        labels = _labels(method, lengths.population, lengths.candidates, lengths.num_stored)
        longest = max(int(trial.max()) for trial in lengths.trials)
        for length in range(always + 1, longest + 1):
            mean, low, high = lengths.tail(length, confidence)
            rows.append({**labels, "length": length, "probability": mean, "low": low, "high": high})
    return pd.DataFrame(
        rows,
        columns=["method", "population", "candidates", "n", "length", "probability", "low", "high"],
    )


def agreement(expected: pd.DataFrame) -> list[str]:
    """Returns at how many n an interval of random populations holds the expectation.

    The expectation is the closed form's, and Monte Carlo's own interval where there is none: then
    the two must overlap. Intervals over the candidates of one population are not compared.

    Args:
        expected: from ``expected_table``.
    """
    random = expected[(expected["population"] == "random") & (expected["candidates"] == "random")]
    tables = {str(name): rows.set_index("n") for name, rows in random.groupby("method")}
    reference = CLOSED_FORM if CLOSED_FORM in tables else MONTE_CARLO
    told = []
    for name in (MONTE_CARLO, MEASURED):
        if name not in tables or name == reference:
            continue
        rows = tables[name]
        rows = rows[rows["interval"] == "populations"]
        both = rows.join(tables[reference], rsuffix="_reference", how="inner")
        inside = (both["low"] <= both["high_reference"]) & (both["low_reference"] <= both["high"])
        meets = "holds" if reference == CLOSED_FORM else "meets that of"
        told.append(
            f"{name}: the interval {meets} the {reference} at {int(inside.sum())} of {len(both)} n"
        )
    return told


def _labels(method: str, population: str, candidates: str, size: int) -> dict[str, Any]:
    return {"method": method, "population": population, "candidates": candidates, "n": size}
