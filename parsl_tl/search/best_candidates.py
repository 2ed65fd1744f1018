"""The best candidates of a campaign, as jobs that a worker takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import CampaignError
from parsl_tl.outcome import pack, unpack
from parsl_tl.problems.node_cache import remove_node_folder
from parsl_tl.search.campaign import Campaign
from parsl_tl.search.campaign_kernel import CampaignKernel
from parsl_tl.search.model_storage import storage_for
from parsl_tl.search.results import best_first
from parsl_tl.search.shared_parameters import shared_parameters
from parsl_tl.tasks import evaluation_app
from parsl_tl.training.worker_start import worker_start

if TYPE_CHECKING:
    from concurrent.futures import Future

    import parsl
    from parsl.dataflow.dflow import DataFlowKernel

Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]
"""A function, its arguments and its keyword arguments."""


@dataclass(frozen=True)
class Candidate:
    """A model that a search has found.

    Attributes:
        model_id: 16 hex digits.
        objective: what the search ranked it by.
        architecture: what it is, in a line.
        job: as ``run_transfer_trainer`` takes it.
    """

    model_id: str
    objective: float
    architecture: str
    job: Mapping[str, Any]


class BestCandidates:
    """The best candidates of a campaign, and tasks on them.

    Args:
        folder: of the campaign.
        top: how many candidates at most, the best first; of one architecture one.
        models: ids of the models to choose from, 16 hex digits each; None for all.

    Attributes:
        campaign: as it is now.
        candidates: the best first.
        settings: what all jobs share.
        objective: entry of the training history that the search maximized, or ``-`` and one that
            it minimized.

    Raises:
        CampaignError: there is no campaign, or no evaluation succeeded.
    """

    def __init__(
        self, folder: str | os.PathLike[str], top: int, models: Collection[str] | None = None
    ) -> None:
        self.campaign = Campaign.resume(folder)
        own = self.campaign.settings
        frame = self.campaign.results
        if models is not None:
            frame = frame[frame["model_id"].isin(list(models))]
        distinct = best_first(frame)
        if distinct.empty:
            raise CampaignError(f"no evaluation succeeded in the campaign {self.campaign.folder}")
        distinct = distinct[~distinct["arch_seq"].map(tuple).duplicated()]
        self.candidates = [
            Candidate(
                row["model_id"],
                float(row["objective"]),
                row["architecture"],
                job_of(row),
            )
            for row in distinct.head(top).to_dict("records")
        ]
        self.objective: str = own.training.get("objective") or self.campaign.problem.objective
        self.settings = shared_parameters(own, storage_for(own, self.campaign.folder))

    def run(
        self,
        calls: Mapping[Any, Call],
        done: Callable[[Any, dict[str, Any]], None],
        config: str | os.PathLike[str] | parsl.Config | None,
        *,
        run_dir: Path,
        max_workers: int | None = None,
        kernel: DataFlowKernel | None = None,
    ) -> None:
        """Runs functions as Parsl tasks; see ``run_calls``.

        Args:
            calls: function, arguments and keyword arguments, by what the caller calls them.
            done: is told what a call gave, as it ends; of one that failed, ``{"error": why}``.
            config: where to run, as ``Campaign`` takes it.
            run_dir: where Parsl writes its logs.
            max_workers: worker processes, for a configuration that is given by name.
            kernel: a Parsl kernel to run on in place of a configuration.

        Raises:
            ConfigError: an unknown configuration, or one that cannot be made.
        """
        place = CampaignKernel(config, max_workers, kernel, "all", None)
        try:
            with place.running(run_dir, worker_start(self.campaign.problem, self.settings)) as own:
                run_calls(own, calls, done)
        finally:
            remove_node_folder(self.campaign.settings.uid)


def job_of(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns the job of a row of a campaign's results, as ``run_transfer_trainer`` takes it."""
    return {
        "arch_seq": list(map(int, row["arch_seq"])),
        "model_id": int(row["model_id"], 16),
    }


def run_calls(
    kernel: DataFlowKernel,
    calls: Mapping[Any, Call],
    done: Callable[[Any, dict[str, Any]], None],
) -> None:
    """Runs functions that return mappings as tasks on a kernel, until all have ended.

    Args:
        kernel: a Parsl kernel.
        calls: function, arguments and keyword arguments, by what the caller calls them.
        done: is told what a call gave, as it ends; of one that failed, ``{"error": why}``.
    """
    from concurrent.futures import as_completed

    app = evaluation_app(kernel=kernel)
    futures: dict[Future[bytes], Any] = {
        app(pack((function, arguments, dict(keywords)))): key
        for key, (function, arguments, keywords) in calls.items()
    }
    for future in as_completed(futures):
        done(futures[future], _outcome(future))


def _outcome(future: Future[bytes]) -> dict[str, Any]:
    try:
        return dict(unpack(future.result()))
    except Exception as error:  # one candidate of many
        return {"error": f"{type(error).__name__}: {error}"}
