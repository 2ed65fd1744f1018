"""What a campaign notes as evaluations start and end."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from parsl_tl.events import stages
from parsl_tl.search.rare_writing import RareWriting

if TYPE_CHECKING:
    from parsl_tl.search.callbacks import SearchCallbacks
    from parsl_tl.search.campaign_results import CampaignResults
    from parsl_tl.search.journal import Journal, Row
    from parsl_tl.search.kept_figures import KeptFigures
    from parsl_tl.search.progress import SearchProgress
    from parsl_tl.search.retirement import Retirement

logger = logging.getLogger(__name__)


class Recorder:
    """DeepHyper's callback: notes in the journal what starts and what ends."""

    def __init__(
        self,
        journal: Journal,
        retirement: Retirement,
        progress: SearchProgress,
        results: CampaignResults,
        figures: KeptFigures,
        callbacks: SearchCallbacks,
    ) -> None:
        """Notes nothing yet.

        Args:
            journal: of the campaign.
            retirement: learns which models are finished.
            progress: the display.
            results: whose tables are rewritten now and then.
            figures: learn what ranks each model beside its objective.
            callbacks: of the campaign, which are told of what has ended.
        """
        self._journal = journal
        self._retirement = retirement
        self._progress = progress
        self._figures = figures
        self._callbacks = callbacks
        self._results = results
        self._tables = RareWriting(results.write)
        self._ended: deque[Row] = deque()  # what was not acted upon yet

    def on_launch(self, job: Any) -> None:
        """Notes a configuration before it is evaluated."""
        self._journal.submitted(job.args)
        self._progress.launched()

    def on_submit(self) -> None:
        """Has what was launched together on disk; nothing of it is with the workers yet."""
        self._journal.sync()

    def on_done(self, job: Any) -> None:
        """Notes a result."""
        from deephyper.evaluator import JobStatus

        if job.status is JobStatus.CANCELLED:  # time was over; a resumed search evaluates it
            with stages.last(job.args["job"]):
                logger.info("evaluation %s was cancelled", job.args["job"])
            return
        failed = isinstance(job.objective, str)
        stages.annotate(
            job.args["job"],
            objective=None if failed else float(job.objective),
            failed=job.objective if failed else None,
        )
        so_far = stages.so_far(job.args["job"])
        self._ended.append(self._journal.finish(job.args, job.objective, job.metadata, so_far))

    def act(self) -> None:
        """Acts upon results when all of them are on disk."""
        self._journal.sync()
        while self._ended:
            row = self._ended.popleft()
            with stages.last(row["config"]["job"]):
                self._take(row)

    def _take(self, row: Row) -> None:
        config, objective, metadata = row["config"], row["objective"], row["metadata"]
        logger.info("evaluation %d: %s %s", config["job"], objective, metadata.get("error") or "")
        self._retirement.finished(row)
        self._figures.note(row)
        describe = partial(self._results.describe, config)
        self._progress.finished(objective, metadata, describe=describe)
        self._tables.write_when_due()
        self._callbacks.ended(row)

    def on_done_other(self, job: Any) -> None:
        """Part of DeepHyper's interface; only one process submits evaluations here."""

    def on_gather(self, local_jobs: Any, other_jobs: Any) -> None:
        """Acts upon what was gathered."""
        self.act()

    def on_close(self) -> None:
        """Part of DeepHyper's interface; the campaign writes its tables at the end."""
