"""Which children of finished campaigns are trained once more, from scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.search.best_candidates import Call, job_of
from parsl_tl.search.campaign import Campaign
from parsl_tl.search.inherited_training import InheritedTraining
from parsl_tl.search.journal import read_journal
from parsl_tl.search.model_storage import storage_for
from parsl_tl.search.shared_parameters import shared_parameters
from parsl_tl.store.model_id import format_model_id
from parsl_tl.training import run_base_trainer


def children_to_train(
    folders: Sequence[Path], count: int
) -> tuple[dict[str, Call], dict[str, dict[str, Any]]]:
    """Draws children that inherited something, about as many of each campaign.

    Args:
        folders: of campaigns that differ in nothing but their seeds.
        count: children in all, at most.

    Returns:
        By model id: the call that trains a child from scratch by its search's recipe; and the
        ``seed`` of that search, the ``share`` of its layers with weights that came over, its
        objective as it was found, ``transferred``, and that less what inherited training is worth,
        ``architecture``.
    """
    calls: dict[str, Call] = {}
    about: dict[str, dict[str, Any]] = {}
    random = np.random.default_rng(0)
    for number, folder in enumerate(folders):
        campaign = Campaign.resume(folder)
        frame = campaign.results
        if "layers_transferred" not in frame:
            continue
        frame = frame[frame["objective"].notna() & (frame["layers_transferred"] > 0)]
        worth = _worth_of_training(folder)
        wanted = math.ceil((count - len(calls)) / (len(folders) - number))
        drawn = random.permutation(len(frame))[:wanted]
        shared = shared_parameters(campaign.settings, storage_for(campaign.settings, folder))
        for row in frame.iloc[sorted(drawn)].to_dict("records"):
            model_id = row["model_id"]
            calls[model_id] = (run_base_trainer, (job_of(row),), shared)
            share = row["layers_transferred"] / row["layers_total"]
            about[model_id] = {
                "seed": campaign.settings.seed,
                "share": share,
                "transferred": row["objective"],
                "architecture": row["objective"] - worth[model_id],
            }
    return calls, about


def _worth_of_training(folder: Path) -> dict[str, float]:
    """Returns what the training that each model of a campaign inherited is worth, at its end."""
    training = InheritedTraining()
    inherited = {
        format_model_id(row["config"]["model_id"]): training.note(row)
        for row in read_journal(folder / "journal.jsonl")
        if not isinstance(row["objective"], str)
    }
    return {model_id: training.worth * amount for model_id, amount in inherited.items()}
