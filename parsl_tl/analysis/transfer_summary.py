"""The main figures of all topics, as text."""

from __future__ import annotations

import numpy as np

from parsl_tl.analysis.transfer_topics import depths, donor_lives
from parsl_tl.analysis.transfers import Transfers


def summarize(transfers: Transfers) -> dict[str, str]:
    """Returns what was found, by name; what cannot be told without transfers is left out."""
    receivers = transfers.receivers
    looked_for = int(transfers.eligible.sum())
    found = {
        "models": f"{len(transfers):,}",
        "looked for a donor": f"{looked_for:,}",
        "found one": _share(len(receivers), looked_for),
        "layers counted": transfers.unit,
    }
    if len(receivers):
        lengths = transfers.transferred[transfers.eligible]
        shares = lengths / np.maximum(transfers.layers[transfers.eligible], 1)
        low, median, high = np.percentile(lengths, [10, 50, 90])
        lives = donor_lives(transfers)
        age = receivers - transfers.donors[receivers]
        found["layers transferred, mean"] = f"{lengths.mean():.2f} ({shares.mean():.0%} of a model)"
        found["10%, median, 90%"] = f"{low:.0f}, {median:.0f}, {high:.0f}"
        found["donors"] = f"{len(lives):,} ({len(receivers) / len(lives):.1f} transfers each)"
        found["the most popular donor"] = _share(int(lives["transfers"].iloc[0]), len(receivers))
        found["age of a donor at a transfer, median"] = f"{np.median(age):,.0f} models"
        found["last use of a donor, median age"] = f"{lives['last_age'].median():,.0f} models"
    parents = transfers.parents[receivers]
    if (parents >= 0).any():
        same = int((parents == transfers.donors[receivers]).sum())
        found["the donor is the parent"] = _share(same, int((parents >= 0).sum()))
    for name, links in (("parent", transfers.parents), ("donor", transfers.donors)):
        depth = depths(links)
        found[f"ancestors by {name}, mean and most"] = f"{depth.mean():.1f}, {depth.max()}"
    return found


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if whole else f"{part:,}"
