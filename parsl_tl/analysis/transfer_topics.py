"""What is asked of transfers: how much, from whom, for how long, and how deep lineages are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parsl_tl.analysis.transfers import Transfers
from parsl_tl.errors import InvalidValueError

# Windows and ages that a table tells, at most.
_POINTS = 200


def prefix_lengths(transfers: Transfers) -> pd.DataFrame:
    """Returns how many models took over how many layers.

    Columns: ``layers_transferred``; ``models``; ``share`` of the models for which a donor was
    looked for; ``at_least``, the share that took over that number or more.
    """
    lengths = transfers.transferred[transfers.eligible]
    counts = np.bincount(lengths, minlength=1)
    total = max(len(lengths), 1)
    return pd.DataFrame(
        {
            "layers_transferred": np.arange(len(counts)),
            "models": counts,
            "share": counts / total,
            "at_least": np.cumsum(counts[::-1])[::-1] / total,
        }
    )


def popularity(transfers: Transfers, window: int, top: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns who the donors were, transfer by transfer, in a sliding window.

    Args:
        transfers: of a run or a population.
        window: the latest transfers, of which shares are made.
        top: how many donors are followed: those with the most transfers.

    Returns:
        ``end`` (number of the model whose transfer is the window's last), ``donor``, ``share`` of
        the window's transfers, for the followed donors; and, for all donors, ``end``,
        ``donors`` in the window, ``largest_share``, and ``effective_donors``: the number of
        equally popular donors with the same entropy (M. Hill, Ecology 54(2), 1973).

    Raises:
        InvalidValueError: the window is not at least 1.
    """
    if window < 1:
        raise InvalidValueError(f"window {window!r} must be at least 1 transfer")
    receivers = transfers.receivers
    donors = transfers.donors[receivers]
    names, uses = np.unique(donors, return_counts=True)
    followed = names[np.argsort(-uses, kind="stable")][:top]
    followed_rows: list[dict[str, Any]] = []
    all_rows: list[dict[str, Any]] = []
    for end in _spread(min(window, len(donors)), len(donors)):
        inside, counts = np.unique(donors[max(0, end - window) : end], return_counts=True)
        shares = counts / counts.sum()
        share_of = dict(zip(inside.tolist(), shares.tolist(), strict=True))
        last = int(receivers[end - 1])
        followed_rows.extend(
            {"end": last, "donor": transfers.names[donor], "share": share_of.get(donor, 0.0)}
            for donor in followed.tolist()
        )
        all_rows.append(
            {
                "end": last,
                "donors": len(inside),
                "largest_share": float(shares.max()),
                "effective_donors": float(np.exp(-(shares * np.log(shares)).sum())),
            }
        )
    return (
        pd.DataFrame(followed_rows, columns=["end", "donor", "share"]),
        pd.DataFrame(all_rows, columns=["end", "donors", "largest_share", "effective_donors"]),
    )


def donor_lives(transfers: Transfers) -> pd.DataFrame:
    """Returns one row per donor, the most used first.

    Columns: ``donor``; ``born`` (its number); ``transfers``; ``share`` of all transfers;
    ``layers`` that it gave, on average; ``first_age`` and ``last_age``, how many models after it
    came the first and the last receiver.
    """
    receivers = transfers.receivers
    frame = pd.DataFrame(
        {
            "born": transfers.donors[receivers],
            "age": receivers - transfers.donors[receivers],
            "layers": transfers.transferred[receivers],
        }
    )
    lives = (
        frame.groupby("born")
        .agg(
            transfers=("age", "size"),
            layers=("layers", "mean"),
            first_age=("age", "min"),
            last_age=("age", "max"),
        )
        .reset_index()
        .sort_values(["transfers", "born"], ascending=[False, True], ignore_index=True)
    )
    lives.insert(0, "donor", [transfers.names[number] for number in lives["born"]])
    lives.insert(3, "share", lives["transfers"] / max(len(receivers), 1))
    return lives


def still_useful(transfers: Transfers) -> pd.DataFrame:
    """Returns how many donors still give layers at an age.

    A donor that was born shortly before the end could not grow old, so that only those count at
    an age which were born at least so long before the end.

    Columns: ``age`` in models; ``donors`` that count; ``still_useful``, the share of them with a
    receiver at this age or later.
    """
    lives = donor_lives(transfers)
    born, last_age = lives["born"].to_numpy(np.int64), lives["last_age"].to_numpy(np.int64)
    observed = len(transfers) - 1 - born
    rows = []
    for age in [0, *_spread(1, int(last_age.max(initial=0)))]:
        known = observed >= age
        if not known.any():
            break
        share = float((last_age[known] >= age).mean())
        rows.append({"age": age, "donors": int(known.sum()), "still_useful": share})
    return pd.DataFrame(rows, columns=["age", "donors", "still_useful"])


def depths(links: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how many ancestors each model has, int64 [n].

    Args:
        links: the model that each one came from, -1 for none; always an earlier one.
    """
    found = [0] * len(links)
    for number, link in enumerate(links.tolist()):
        if link >= 0:
            found[number] = found[link] + 1
    return np.array(found, np.int64)


def lineage(transfers: Transfers) -> pd.DataFrame:
    """Returns how many models have how many ancestors.

    Columns: ``depth``; ``by_parent``, models with that number of ancestors by mutation;
    ``by_donor``, models whose layers passed through that number of donors before.
    """
    by_parent = np.bincount(depths(transfers.parents))
    by_donor = np.bincount(depths(transfers.donors))
    size = max(len(by_parent), len(by_donor))
    return pd.DataFrame(
        {
            "depth": np.arange(size),
            "by_parent": np.pad(by_parent, (0, size - len(by_parent))),
            "by_donor": np.pad(by_donor, (0, size - len(by_donor))),
        }
    )


def per_model(transfers: Transfers) -> pd.DataFrame:
    """Returns one row per model, in order: what the other tables follow from."""
    names = np.array([*transfers.names, None], object)
    return pd.DataFrame(
        {
            "number": np.arange(len(transfers)),
            "model": transfers.names,
            "parent": names[transfers.parents],
            "donor": names[transfers.donors],
            "layers_transferred": transfers.transferred,
            "layers": transfers.layers,
            "depth_by_parent": depths(transfers.parents),
            "depth_by_donor": depths(transfers.donors),
        }
    )


def _spread(first: int, last: int) -> list[int]:
    """Returns whole numbers from first to last, evenly spread, not too many."""
    if last < first or last < 1:
        return []
    points = np.linspace(max(first, 1), last, min(_POINTS, last - first + 1))
    return [int(point) for point in np.unique(np.round(points))]
