"""What is compared: the best value over evaluations and processor seconds, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.analysis.confidence import student_interval
from parsl_tl.study.settings import BASELINE

if TYPE_CHECKING:
    import pandas as pd

COMPARED: Final = {
    "equal_evals": "validation, equal evaluations",
    "equal_cpu": "validation, equal CPU seconds",
    "found_test": "test, as found",
    "inherited_test": "test, retrained from inherited weights",
    "scratch_test": "test, retrained from scratch",
}
"""Columns in which policies are compared, and what they are; larger is better in all."""

_RESAMPLES = 2000


def best_so_far(results: pd.DataFrame) -> pd.DataFrame:
    """Returns how a campaign's best value grew.

    Args:
        results: of a campaign, in the order in which evaluations ended.

    Returns:
        A row for each evaluation: ``evaluation`` (from 1), ``cpu_seconds`` (of all so far),
        ``objective`` (the best so far; NaN before the first success).
    """
    import pandas as pd

    objective = results["objective"].to_numpy(np.float64)
    best = np.maximum.accumulate(np.where(np.isnan(objective), -np.inf, objective))
    return pd.DataFrame(
        {
            "evaluation": np.arange(1, len(results) + 1),
            "cpu_seconds": _costs(results).cumsum(),
            "objective": np.where(np.isneginf(best), np.nan, best),
        }
    )


def _costs(results: pd.DataFrame) -> NDArray[np.float64]:
    """Returns what each evaluation cost; where results are looked up, what it would have cost."""
    costs = results["seconds_cpu"].astype(float)
    if "seconds_looked_up" in results:
        costs = results["seconds_looked_up"].astype(float).fillna(costs)
    return np.asarray(costs.fillna(0.0), np.float64)


def row_at(curve: pd.DataFrame, column: str, most: float) -> Mapping[str, Any]:
    """Returns the last row in which a column is at most a value; the first one, if none is."""
    within = curve[curve[column] <= most * (1 + 1e-9)]
    row = within.iloc[-1] if len(within) else curve.iloc[0]
    return {str(name): value for name, value in row.items()}


def within_budget(results: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """Returns the evaluations that had ended within so many processor seconds; one at least."""
    return results.head(int(row_at(best_so_far(results), "cpu_seconds", seconds)["evaluation"]))


def figures_of(
    results: pd.DataFrame, evaluations: int, baseline: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Returns what a search reached, and what it spent.

    Args:
        results: of its evaluations, in the order in which they ended.
        evaluations: after which searches are compared.
        baseline: the same of the baseline, whose ``cpu_seconds`` are the budget; None for itself.
    """
    curve = best_so_far(results)
    spent = float(curve["cpu_seconds"].iloc[-1])
    budget = spent if baseline is None else float(baseline["cpu_seconds"])
    within = row_at(curve, "cpu_seconds", budget)
    goal = within["objective"] if baseline is None else baseline["equal_cpu"]
    return {
        "evaluations": len(results),
        "failed": int(results["objective"].isna().sum()),
        "cpu_seconds": spent,
        "equal_evals": row_at(curve, "evaluation", evaluations)["objective"],
        "equal_cpu": within["objective"],
        "seconds_ratio": seconds_to(curve, goal) / budget,
    }


def seconds_to(curve: pd.DataFrame, value: float) -> float:
    """Returns the processor seconds after which a value was reached; infinity for never."""
    reached = curve[curve["objective"] >= value]
    return float(reached["cpu_seconds"].iloc[0]) if len(reached) else math.inf


def compare(frame: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Compares each policy with the baseline, seed by seed.

    Args:
        frame: a row for each campaign, with ``case``, ``policy``, ``seed``, the columns of
            ``COMPARED`` that there are, and ``seconds_ratio``.
        confidence: of the intervals.

    Returns:
        A row for each case, policy and column: ``mean`` of the policy, ``baseline`` of the
        baseline, ``difference`` of the two by seed, Student's interval of its mean (``low``,
        ``high``; NaN for a single seed), ``seeds``, and ``verdict``: better, worse or alike.
    """
    columns = {name: (name, name) for name in COMPARED if name in frame}
    return _paired(frame, BASELINE, columns, confidence).rename(columns={"other": "baseline"})


def beside_peers(frame: pd.DataFrame, peers: Sequence[str], confidence: float) -> pd.DataFrame:
    """Compares each policy with each search of another library, seed by seed.

    Args:
        frame: as ``compare`` takes it.
        peers: their names among the policies.
        confidence: of the intervals.

    Returns:
        A row for each case, policy, ``peer`` and value: ``equal_cpu``; ``scratch_test``, the
        architectures that were found, both trained from scratch; ``inherited_test``, the model that
        the policy found, trained on, beside the peer's, trained from scratch. The other columns
        are those of ``compare``, with ``other`` for the peer's mean.
    """
    import pandas as pd

    columns = {
        "equal_cpu": ("equal_cpu", "equal_cpu"),
        "scratch_test": ("scratch_test", "scratch_test"),
        "inherited_test": ("inherited_test", "scratch_test"),
    }
    columns = {name: pair for name, pair in columns.items() if set(pair) <= set(frame)}
    found = []
    for peer in peers:
        own = frame[~frame["policy"].isin(peers) | (frame["policy"] == peer)]
        found.append(_paired(own, peer, columns, confidence).assign(peer=peer))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _paired(
    frame: pd.DataFrame, other: str, columns: Mapping[str, tuple[str, str]], confidence: float
) -> pd.DataFrame:
    """Pairs each policy's campaigns with another's, by case and seed."""
    import pandas as pd

    rows = []
    for case, of_case in frame.groupby("case", sort=False):
        by_seed = of_case.set_index("seed")
        others = by_seed[by_seed["policy"] == other]
        for policy in dict.fromkeys(by_seed["policy"]):
            own = by_seed[by_seed["policy"] == policy]
            for name, (column, of_other) in columns.items() if policy != other else ():
                pairs = pd.concat([own[column], others[of_other]], axis=1, keys=["own", "other"])
                pairs = pairs.astype(float).dropna()
                if pairs.empty:
                    continue
                difference = (pairs["own"] - pairs["other"]).to_numpy()
                interval = student_interval(difference, confidence)
                rows.append(
                    {
                        "case": case,
                        "policy": policy,
                        "value": name,
                        "mean": pairs["own"].mean(),
                        "other": pairs["other"].mean(),
                        "difference": interval.mean,
                        "low": interval.low,
                        "high": interval.high,
                        "seeds": len(pairs),
                        "verdict": _verdict(interval.low, interval.high),
                    }
                )
    return pd.DataFrame(rows)


def _verdict(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else "alike"


def correlations(children: pd.DataFrame, confidence: float, seed: int = 0) -> pd.DataFrame:
    """Tells whether a search that transfers ranks architectures as one from scratch would.

    Args:
        children: a row for each child that was trained twice: ``case``, ``policy``, ``share`` (of
            the layers with weights that came over), ``transferred`` and ``scratch`` (objectives),
            ``architecture`` (the former less what inherited training is worth), and ``seed`` (of
            the campaign; without it all are taken for children of one).
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        A row for each case and policy: ``children``, ``difference`` (mean of transferred minus
        scratch), ``tau_share`` (Kendall's tau-b, of that difference with the share; of pairs within
        a campaign, since its tournaments compare no others), ``tau_objective``
        (of the two objectives), and both with ``architecture`` in place of ``transferred``
        (``tau_share_corrected``, ``tau_objective_corrected``); each with a percentile bootstrap
        interval (``..._low``, ``..._high``; Efron and Tibshirani, 1993).
    """
    import pandas as pd

    rows = []
    random = np.random.default_rng(seed)
    for (case, policy), group in children.groupby(["case", "policy"], sort=False):
        columns = ["share", "transferred", "scratch", "architecture", "seed"]
        known = group.reindex(columns=columns).dropna(subset=columns[:3])
        values = known.to_numpy(np.float64)
        if len(values) < 3:
            continue
        share, transferred, scratch, corrected, seeds = values.T
        # Children of a study of before have neither.
        corrected = np.where(np.isnan(corrected), transferred, corrected)
        seeds = np.nan_to_num(seeds)
        tau = partial(_tau, seeds, confidence, random)
        rows.append(
            {
                "case": case,
                "policy": policy,
                "children": len(values),
                "difference": float((transferred - scratch).mean()),
                **tau("tau_share", transferred - scratch, share),
                **tau("tau_objective", transferred, scratch),
                **tau("tau_share_corrected", corrected - scratch, share),
                **tau("tau_objective_corrected", corrected, scratch),
            }
        )
    return pd.DataFrame(rows)


def _tau(
    campaigns: Any,
    confidence: float,
    random: np.random.Generator,
    name: str,
    one: Any,
    other: Any,
) -> dict[str, float]:
    count = len(one)
    drawn = random.integers(count, size=(_RESAMPLES, count))
    # How often each row was drawn, first of all once each.
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=count)
    times = np.vstack([np.ones(count, int), times])
    compared = np.equal.outer(campaigns, campaigns)
    signs = [compared * np.sign(np.subtract.outer(values, values)) for values in (one, other)]

    def over_pairs(product: Any) -> Any:
        return np.einsum("si,ij,sj->s", times, product, times, optimize=True)

    untied = [over_pairs(sign * sign) for sign in signs]
    with np.errstate(invalid="ignore"):
        taus = over_pairs(signs[0] * signs[1]) / np.sqrt(untied[0] * untied[1])
    sampled = taus[1:][np.isfinite(taus[1:])]
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(sampled, ends) if len(sampled) else (math.nan, math.nan)
    return {name: float(taus[0]), f"{name}_low": low, f"{name}_high": high}
