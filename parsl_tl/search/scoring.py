"""The best models of a campaign on the samples that no search sees."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import InvalidValueError
from parsl_tl.search.best_candidates import BestCandidates
from parsl_tl.training.retrain import evaluate_found

if TYPE_CHECKING:
    import pandas as pd
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel


def evaluate_best(
    campaign: str | os.PathLike[str],
    top: int = 5,
    config: str | os.PathLike[str] | parsl.Config | None = None,
    *,
    max_workers: int | None = None,
    kernel: DataFlowKernel | None = None,
    models: Collection[str] | None = None,
) -> pd.DataFrame:
    """Scores the best models of a campaign, as the search left them, on the test part.

    Args:
        campaign: its folder.
        top: how many models at most.
        config: where to run, as ``Campaign`` takes it.
        max_workers: worker processes, for a configuration that is given by name.
        kernel: a Parsl kernel to run on in place of a configuration.
        models: ids of the models to choose from, 16 hex digits each; None for all.

    Returns:
        One row for each model, the best first: ``model_id``, ``objective`` (validation),
        ``test_<metric>``, ``architecture``; ``error`` where one could not be scored.

    Raises:
        CampaignError: there is no campaign, or no evaluation succeeded.
        InvalidValueError: the campaign has no store, so that its models' weights are not there.
    """
    import pandas as pd

    best = BestCandidates(campaign, top, models)
    if not best.campaign.settings.has_store:
        raise InvalidValueError(
            f"the campaign in {best.campaign.folder} kept its models in no store, so that they "
            "cannot be scored; `parsl-tl retrain --start scratch` trains and scores them"
        )
    outcomes: dict[str, dict[str, Any]] = {}
    best.run(
        {one.model_id: (evaluate_found, (one.job, best.settings), {}) for one in best.candidates},
        outcomes.__setitem__,
        config,
        run_dir=best.campaign.folder / "parsl",
        max_workers=max_workers,
        kernel=kernel,
    )
    return pd.DataFrame(
        [
            {
                "model_id": one.model_id,
                "objective": one.objective,
                **outcomes[one.model_id],
                "architecture": one.architecture,
            }
            for one in best.candidates
        ]
    )
